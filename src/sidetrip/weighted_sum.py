"""Weighted sums of stored tensors, block by block.

Sums are formed in double precision, in the order of the snapshots, and rounded once. Memory holds a few blocks of one
tensor, whatever the sizes of tensors and models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError
from sidetrip.number_formats import SIZES, decoded, encoded
from sidetrip.tensor_files import StoredTensor, read_numbers

BLOCK = 2**17  # numbers that are read at a time; in double precision they fit into the cache of a core
PIECE = 2**14  # numbers that are calculated with at a time; larger arrays come from the system anew each time

Vector = NDArray[np.float64]


def weighted_blocks(name: str, parts: Mapping[int, tuple[StoredTensor, float]], dtype: str) -> Iterator[NDArray[Any]]:
    """Σ_n c_n x_n of one tensor, rounded to `dtype`, a block after the other.

    Parameters
    ----------
    name : str
        Of the tensor, for messages.
    parts : mapping of int to (StoredTensor, float)
        The tensor in each snapshot and the snapshot's coefficient, by step, ascending.
    dtype : str
        A key of `number_formats.SIZES`.

    Raises
    ------
    FileError
        If a file cannot be read, a snapshot holds values that are not finite, or a sum is too large for `dtype`.
    """
    one = next(iter(parts.values()))[0]
    size = SIZES[one.dtype]
    elements = one.size // size
    raw, total = np.empty(min(BLOCK, elements) * size, dtype=np.uint8), np.empty(min(BLOCK, elements))
    for first in range(0, elements, BLOCK):
        block = total[: elements - first]
        stored = raw[: len(block) * size]
        block.fill(-0.0)  # to which a negative zero can be added, too
        for tensor, coefficient in parts.values():
            read_numbers(tensor, first * size, stored)
            _add(block, coefficient, stored, tensor.dtype)
        if not np.isfinite(largest := _largest(block)):
            _take_common_infinities(block, name, {s: _values(t, first * size, stored) for s, (t, _) in parts.items()})
            largest = _largest(block)
        if not _fits(largest, dtype):
            raise FileError(f"{name}: its merged values reach {largest:.4g}, too large for {dtype}; use a wider type")
        for piece in _pieces(block):
            yield encoded(block[piece], dtype)


def copied_blocks(tensor: StoredTensor) -> Iterator[NDArray[Any]]:
    """Bytes of a tensor as they are stored, a block after the other; each is overwritten by the next."""
    raw = np.empty(min(BLOCK, tensor.size), dtype=np.uint8)
    for first in range(0, tensor.size, BLOCK):
        yield read_numbers(tensor, first, raw[: tensor.size - first])


def _pieces(block: Vector) -> Iterator[slice]:
    return (slice(first, min(first + PIECE, len(block))) for first in range(0, len(block), PIECE))


def _add(block: Vector, coefficient: float, stored: NDArray[np.uint8], dtype: str) -> None:
    size = SIZES[dtype]
    product = np.empty(min(PIECE, len(block)))
    with np.errstate(invalid="ignore"):
        for piece in _pieces(block):
            values = decoded(stored[piece.start * size : piece.stop * size], dtype)
            block[piece] += np.multiply(values, coefficient, out=product[: len(values)], dtype=np.float64)


def _values(tensor: StoredTensor, first: int, into: NDArray[np.uint8]) -> NDArray[Any]:
    return decoded(read_numbers(tensor, first, into).copy(), tensor.dtype)


def _largest(block: Vector) -> float:
    """Largest magnitude; not a number if one of them is not."""
    return max(float(block.max()), -float(block.min()))


def _fits(largest: float, dtype: str) -> bool:
    stored = decoded(encoded(np.array([largest]), dtype).view(np.uint8), dtype)[0]
    return bool(stored == largest if np.isinf(largest) else np.isfinite(stored))


def _take_common_infinities(block: Vector, name: str, values: Mapping[int, NDArray[Any]]) -> None:
    """Keep infinities that all snapshots have, as masks of attention do; refuse what else is not finite."""
    last, newest = list(values.items())[-1]
    infinite = np.isinf(newest)
    for step, found in values.items():
        if (~np.isfinite(found) & (found != newest)).any():
            raise FileError(_not_finite(name, step))
        if not np.isinf(found[infinite]).all():
            raise FileError(_not_finite(name, last))
    block[infinite] = newest[infinite]


def _not_finite(name: str, step: int) -> str:
    return f"{name}: is not finite in the snapshot of step {step}; check whether the run diverged, and leave it out"
