"""Write a weighted sum of snapshots as one safetensors file, block by block.

Sums are formed in double precision, in the order of the snapshots, and rounded once. Memory holds a few blocks of one
tensor, whatever the sizes of tensors and models. The file appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError, replacing
from sidetrip.number_formats import FORMATS, decoded, encoded
from sidetrip.tensor_files import SIZES, Snapshot, StoredTensor, TensorReader, header_bytes, in_stored_order

BLOCK = 2**16  # numbers; a block in double precision fits into the cache of a core
BATCHNORM = "BatchNorm statistics"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
STATE_GROUPS = ("weights", "buffers", "momentum")

Vector = NDArray[np.float64]


@dataclass
class MergeReport:
    """What became of the tensors.

    Attributes
    ----------
    averaged : int
        Number of tensors that were averaged.
    copied : dict of str to list of str
        Names of the tensors that were taken from the newest snapshot, by the reason for it.
    not_finite : list of str
        Names of averaged tensors that hold infinite values or values that are not numbers.
    """

    averaged: int = 0
    copied: dict[str, list[str]] = field(default_factory=dict)
    not_finite: list[str] = field(default_factory=list)


def check_alike(snapshots: Sequence[Snapshot]) -> None:
    """Refuse snapshots whose names, shapes or types differ, and types that cannot be averaged.

    Raises
    ------
    FileError
        At the first difference.
    """
    first, *others = snapshots
    for snapshot in others:
        _check_names(snapshot, first)
        for name, tensor in snapshot.tensors.items():
            found, expected = _described(tensor), _described(first.tensors[name])
            if found != expected:
                raise FileError(
                    f"{snapshot.path}: {name} is {found}, in {first.path} it is {expected}; "
                    "merge snapshots of one run, all of one type"
                )
    _check_types(first)


def is_training_state(snapshot: Snapshot) -> bool:
    """Whether it is a state as this package writes it, with weights, buffers, momentum and the step."""
    groups = {name.partition("/")[0] for name in snapshot.tensors}
    return "step" in groups and groups <= {*STATE_GROUPS, "step"} and "weights" in groups


def reason_to_copy(name: str, tensor: StoredTensor, in_training_state: bool) -> str | None:
    """Why a tensor is not averaged, or None if it is."""
    if name.rpartition(".")[2].rpartition("/")[2] in STATISTICS:
        return BATCHNORM
    if in_training_state and not name.startswith("weights/"):
        return "buffers, momentum and step"
    return None if tensor.dtype in FORMATS else "integers"


def write_merged(
    snapshots: Mapping[int, Snapshot], coefficients: Sequence[float], output: Path, dtype: str | None = None
) -> MergeReport:
    """Write Σ_n c_n x_n for every tensor x of the snapshots.

    Parameters
    ----------
    snapshots : mapping of int to Snapshot
        By their steps, ascending; alike in the sense of `check_alike`. What is not averaged is taken from the last.
    coefficients : sequence of float
        One for each snapshot. The numbers of a snapshot with coefficient 0 are not read.
    output : Path
        Replaced when all of the new file is on disk.
    dtype : str, optional
        Type of the averaged tensors, a key of `number_formats.FORMATS`; by default they keep theirs.

    Returns
    -------
    MergeReport
        What was averaged and what was not.

    Raises
    ------
    FileError
        If a file cannot be read or written, or a finite sum is too large for `dtype`. `output` is then as it was.
    """
    newest = list(snapshots.values())[-1]
    in_state = is_training_state(newest)
    terms = [(snapshot, c) for snapshot, c in zip(snapshots.values(), coefficients, strict=True) if c]
    names = in_stored_order(newest.tensors)
    reasons = {name: reason_to_copy(name, newest.tensors[name], in_state) for name in names}
    types = {name: newest.tensors[name].dtype if reasons[name] or not dtype else dtype for name in names}
    layout = sorted(names, key=lambda name: -SIZES[types[name]])  # large numbers first, so that each is aligned
    metadata = newest.metadata | {
        "merged_steps": json.dumps(list(snapshots)),
        "merged_coefficients": json.dumps(list(coefficients)),
    }
    report = MergeReport()
    _remove_left_over(output)
    with replacing(output) as temporary, temporary.open("wb", buffering=0) as file:
        _write(file, header_bytes(((name, types[name], newest.tensors[name].shape) for name in layout), metadata))
        for name in layout:
            if reason := reasons[name]:
                report.copied.setdefault(reason, []).append(name)
                _copy(newest.tensors[name], file)
                continue
            report.averaged += 1
            parts = [(snapshot.tensors[name], c) for snapshot, c in terms]
            if not _write_sum(file, name, parts, types[name]):
                report.not_finite.append(name)
    return report


def weighted_blocks(parts: Sequence[tuple[StoredTensor, float]]) -> Iterator[Vector]:
    """Σ_n c_n x_n of one tensor, a block after the other; each is overwritten by the next.

    Parameters
    ----------
    parts : sequence of (StoredTensor, float)
        The tensor in each snapshot, and the snapshot's coefficient.
    """
    elements, longest = parts[0][0].elements, min(BLOCK, parts[0][0].elements)
    raw = np.empty(longest * SIZES[parts[0][0].dtype], dtype=np.uint8)
    total, product = np.empty(longest), np.empty(longest)
    with ExitStack() as stack:
        readers = [(stack.enter_context(TensorReader(tensor)), c) for tensor, c in parts]
        for first in range(0, elements, BLOCK):
            count = min(BLOCK, elements - first)
            for number, (reader, coefficient) in enumerate(readers):
                size = SIZES[reader.tensor.dtype]
                reader.read(raw[: count * size])
                values = decoded(raw[: count * size], reader.tensor.dtype)
                into = product[:count] if number else total[:count]
                with np.errstate(invalid="ignore"):
                    np.multiply(values, coefficient, out=into, dtype=np.float64)
                    if number:
                        total[:count] += into
            yield total[:count]


def _write_sum(file: BinaryIO, name: str, parts: Sequence[tuple[StoredTensor, float]], dtype: str) -> bool:
    """Write the sum of one tensor and return whether all of it is finite."""
    finite = True
    for block in weighted_blocks(parts):
        largest = max(float(block.max()), -float(block.min()))
        if np.isfinite(largest) and largest > FORMATS[dtype].overflow:
            raise FileError(f"{name}: its merged values reach {largest:.4g}, too large for {dtype}; use a wider type")
        finite = finite and bool(np.isfinite(largest))
        _write(file, encoded(block, dtype))
    return finite


def _copy(tensor: StoredTensor, file: BinaryIO) -> None:
    longest = 8 * BLOCK  # bytes
    raw = np.empty(min(longest, tensor.size), dtype=np.uint8)
    with TensorReader(tensor) as reader:
        for first in range(0, tensor.size, longest):
            part = raw[: min(longest, tensor.size - first)]
            reader.read(part)
            _write(file, part)


def _write(file: BinaryIO, content: bytes | NDArray[Any]) -> None:
    """Write all of it: a raw file may take less than it is given."""
    view = memoryview(content if isinstance(content, bytes) else content.view(np.uint8).data)
    while len(view):
        view = view[file.write(view) :]


def _described(tensor: StoredTensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _check_names(snapshot: Snapshot, first: Snapshot) -> None:
    for here, there in ((snapshot, first), (first, snapshot)):
        if odd := sorted(here.tensors.keys() - there.tensors.keys()):
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise FileError(f"{here.path}: has {odd[0]}{more}, {there.path} has not; merge snapshots of one run")


def _check_types(snapshot: Snapshot) -> None:
    scales = [name for name in snapshot.tensors if "scale" in name.rpartition(".")[2]]
    for name, tensor in snapshot.tensors.items():
        if tensor.dtype == "C64":
            raise FileError(f"{snapshot.path}: {name} is complex, which is not averaged here; store its two parts")
        if tensor.dtype.startswith("F8") and scales:
            raise FileError(
                f"{snapshot.path}: {name} has 8 bits and a scale of its own ({scales[0]}), so that its average is not "
                "that of the weights; merge the snapshots before they are quantised"
            )


def _remove_left_over(output: Path) -> None:
    """Remove temporary files that killed merges into the same target, on this machine, have left beside it."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask whether a process is alive
        return
    mark = f".{platform.node()}."
    for path in output.parent.glob(f"{mark}*.{output.name}"):
        owner = path.name.removeprefix(mark).removesuffix(f".{output.name}")
        if owner.isdecimal() and not _is_alive(int(owner)):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
