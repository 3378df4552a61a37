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
from sidetrip.tensor_files import StoredTensor, stored_bytes

BLOCK = 2**16  # numbers that are read at a time; in double precision they fit into the cache of a core


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
    length = BLOCK * SIZES[one.dtype]

    def numbers(tensor: StoredTensor, first: int) -> NDArray[Any]:
        return decoded(stored_bytes(tensor, first, length), tensor.dtype)

    for first in range(0, one.size, length):
        block = np.full(min(BLOCK, (one.size - first) // SIZES[one.dtype]), -0.0)  # a negative zero may be added, too
        for tensor, coefficient in parts.values():
            with np.errstate(invalid="ignore"):
                block += np.multiply(numbers(tensor, first), coefficient, dtype=np.float64)
        if not np.isfinite(block).all():
            _take_common_infinities(block, name, {step: numbers(tensor, first) for step, (tensor, _) in parts.items()})
        rounded = encoded(block, dtype)
        stored = decoded(rounded.view(np.uint8), dtype)
        if (lost := block[~np.isfinite(stored) & (stored != block)]).size:
            largest = np.abs(lost).max()
            raise FileError(f"{name}: its merged values reach {largest:.4g}, too large for {dtype}; use a wider type")
        yield rounded


def copied_blocks(tensor: StoredTensor) -> Iterator[NDArray[Any]]:
    """Bytes of a tensor as they are stored, a block after the other."""
    return (stored_bytes(tensor, first, BLOCK) for first in range(0, tensor.size, BLOCK))


def _take_common_infinities(block: NDArray[np.float64], name: str, values: Mapping[int, NDArray[Any]]) -> None:
    """Keep infinities that all snapshots have, as masks of attention do; refuse what else is not finite."""
    last, newest = list(values.items())[-1]
    infinite = np.isinf(newest)
    for step, found in values.items():
        own = ~np.isfinite(found) & (found != newest)
        if own.any() or not np.isinf(found[infinite]).all():
            raise FileError(
                f"{name}: is not finite in the snapshot of step {step if own.any() else last}; check whether the run "
                "diverged, and leave it out"
            )
    block[infinite] = newest[infinite]
