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

BLOCK = 2**16  # numbers; a block in double precision fits into the cache of a core

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
    size = SIZES[next(iter(parts.values()))[0].dtype]
    elements = next(iter(parts.values()))[0].size // size
    total, product = np.empty(min(BLOCK, elements)), np.empty(min(BLOCK, elements))
    for first in range(0, elements, BLOCK):
        block = total[: elements - first]
        place, length = first * size, len(block) * size
        with np.errstate(invalid="ignore"):
            for number, (tensor, coefficient) in enumerate(parts.values()):
                term = product[: len(block)] if number else block
                np.multiply(_read(tensor, place, length), coefficient, out=term, dtype=np.float64)
                if number:
                    block += term
        if not np.isfinite(_largest(block)):
            _take_common_infinities(block, name, {s: _read(t, place, length) for s, (t, _) in parts.items()})
        if not _fits(largest := _largest(block), dtype):
            raise FileError(f"{name}: its merged values reach {largest:.4g}, too large for {dtype}; use a wider type")
        yield encoded(block, dtype)


def copied_blocks(tensor: StoredTensor) -> Iterator[NDArray[Any]]:
    """Bytes of a tensor as they are stored, a block after the other."""
    for first in range(0, tensor.size, 8 * BLOCK):
        yield read_numbers(tensor, first, min(8 * BLOCK, tensor.size - first))


def _read(tensor: StoredTensor, place: int, length: int) -> NDArray[Any]:
    return decoded(read_numbers(tensor, place, length), tensor.dtype)


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
