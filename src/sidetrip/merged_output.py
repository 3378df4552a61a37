"""The merged weights as a safetensors file, or as a folder like that of the newest snapshot; whole or not at all.

The library's writer needs the whole model in memory, so files are laid out here: the header, then block after block.
"""

from __future__ import annotations

import glob
import json
import math
import os
import platform
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError, replacing
from sidetrip.number_formats import SIZES
from sidetrip.tensor_files import INDEX_SUFFIX, SUFFIX, Snapshot, header_bytes
from sidetrip.tensor_kinds import reasons_to_copy
from sidetrip.weighted_sum import copied_blocks, weighted_blocks

FOREIGN_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".npz", ".gguf", ".onnx", ".h5")
COMPANIONS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".py", ".yaml", ".md")  # settings, tokenizers
DIGEST = re.compile("hash|sha256|digest", re.IGNORECASE)  # in the names of metadata, of other weights than the merged
STALE = ("trainer_state.json", "scheduler.json")  # of the run, not of the model


@dataclass(frozen=True)
class MergeReport:
    """What became of the tensors and of the files beside them.

    Attributes
    ----------
    averaged : dict of str to int
        Number of tensors that were averaged, by the type that they are stored in.
    copied : dict of str to list of str
        Names of the tensors that were taken from the newest snapshot, by the reason for it.
    files : list of str
        Files that were copied from the folder of the newest snapshot.
    differing : list of str
        Those of them that are others in the folder of the oldest snapshot.
    """

    averaged: dict[str, int]
    copied: dict[str, list[str]]
    files: list[str]
    differing: list[str]


def check_output(output: Path | None, inputs: Sequence[Path], newest: Snapshot) -> Path:
    """Refuse a target that is missing, of another format, or that would replace what it must not.

    Raises
    ------
    FileError
        If it is.
    """
    if output is None:
        raise FileError(f"--output: not given; name the file to write, NAME{SUFFIX}, or use --dry-run")
    if output.suffix in FOREIGN_SUFFIXES:
        raise FileError(f"{output}: safetensors is what is written; name it {output.with_suffix(SUFFIX).name}")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise FileError(f"{output}: is one of the snapshots; write to another place")
    if output.suffix == SUFFIX:
        if output.is_symlink() or (output.exists() and not output.is_file()):
            raise FileError(f"{output}: is there and no regular file; name another file to write")
    elif newest.folder is None:
        raise FileError(f"{output}: would be a folder, the snapshots are single files; name it {output.name}{SUFFIX}")
    elif output.is_symlink() or (output.exists() and (not output.is_dir() or any(output.iterdir()))):
        raise FileError(f"{output}: is there and no empty folder; name a new one, or a file, NAME{SUFFIX}")
    return output


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
        A file, NAME.safetensors, replaced when all of the new one is on disk; or a folder to make, with the files that
        the last snapshot has.
    dtype : str, optional
        Type of the averaged tensors, a key of `number_formats.SIZES`; by default they keep theirs.

    Returns
    -------
    MergeReport
        What was averaged and what was not.

    Raises
    ------
    FileError
        If a file cannot be read or written, a snapshot is not finite, or a sum is too large for `dtype`. `output` is
        then as it was.
    """
    oldest, newest = next(iter(snapshots.values())), list(snapshots.values())[-1]
    merge = _Merge(snapshots, coefficients, dtype)
    _remove_left_over(output)
    with replacing(output) as temporary:
        try:
            if output.suffix == SUFFIX:
                merge.write_file(temporary, list(newest.tensors))
            else:
                _write_folder(merge, temporary, newest)
        except BaseException:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            raise
    files = [] if output.suffix == SUFFIX else [path.name for path in _companions(newest)]
    differing = [name for name in files if not _is_same(name, oldest, newest)]
    return MergeReport(merge.averaged, merge.copied, files, differing)


class _Merge:
    """The sums of all tensors, written to one file or to several."""

    def __init__(self, snapshots: Mapping[int, Snapshot], coefficients: Sequence[float], dtype: str | None) -> None:
        self.newest = list(snapshots.values())[-1]
        self.terms = {s: (snapshots[s], c) for s, c in zip(snapshots, coefficients, strict=True) if c}
        self.reasons = reasons_to_copy(self.newest)
        self.dtype = dtype
        self.averaged: Counter[str] = Counter()
        self.copied: defaultdict[str, list[str]] = defaultdict(list)
        self.metadata = {name: text for name, text in self.newest.metadata.items() if not DIGEST.search(name)} | {
            "merged_steps": json.dumps(list(snapshots)),
            "merged_coefficients": json.dumps(list(coefficients)),
        }

    def write_file(self, path: Path, names: Sequence[str]) -> int:
        """Write some of the tensors and return how many bytes they take."""
        layout = [(name, *self._form(name)) for name in names]
        # Large numbers first, so that each tensor is aligned.
        layout.sort(key=lambda entry: -entry[3] // max(math.prod(entry[2]), 1))
        with path.open("wb") as file:
            file.write(header_bytes(layout, self.metadata))
            for name, dtype, *_ in layout:
                for block in self._blocks(name, dtype):
                    file.write(block.view(np.uint8).data)
            file.flush()
            os.fsync(file.fileno())
        return sum(size for *_, size in layout)

    def _form(self, name: str) -> tuple[str, tuple[int, ...], int]:
        """Type, shape and number of bytes that a tensor will have."""
        tensor = self.newest.tensors[name]
        if name in self.reasons or self.dtype is None:
            return tensor.dtype, tensor.shape, tensor.size
        return self.dtype, tensor.shape, math.prod(tensor.shape) * SIZES[self.dtype]

    def _blocks(self, name: str, dtype: str) -> Iterator[NDArray[Any]]:
        if name in self.reasons:
            self.copied[self.reasons[name]].append(name)
            return copied_blocks(self.newest.tensors[name])
        self.averaged[dtype] += 1
        return weighted_blocks(name, {s: (whole.tensors[name], c) for s, (whole, c) in self.terms.items()}, dtype)


def _write_folder(merge: _Merge, folder: Path, newest: Snapshot) -> None:
    """Shards, index, settings and tokenizer as the newest snapshot has them."""
    folder.mkdir(parents=True)
    shards = defaultdict(list)
    for name, tensor in newest.tensors.items():
        shards[tensor.path.name].append(name)
    total = sum(merge.write_file(folder / shard, names) for shard, names in shards.items())
    if newest.index:
        index = json.loads(newest.index.read_text(encoding="utf-8"))
        index["metadata"] = {**(index.get("metadata") or {}), "total_size": total}
        index["weight_map"] = {name: shard for shard, names in shards.items() for name in names}
        (folder / newest.index.name).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    for path in _companions(newest):
        shutil.copyfile(path, folder / path.name)


def _companions(snapshot: Snapshot) -> list[Path]:
    """The files of a model beside its weights: settings, tokenizer, code."""
    found = sorted(snapshot.folder.iterdir()) if snapshot.folder else []
    return [
        path
        for path in found
        if path.suffix in COMPANIONS and path.name not in STALE and not path.name.endswith(INDEX_SUFFIX)
    ]


def _is_same(name: str, one: Snapshot, other: Snapshot) -> bool:
    first, second = ((snapshot.folder or snapshot.path.parent) / name for snapshot in (one, other))
    return first.exists() and first.read_bytes() == second.read_bytes()


def _remove_left_over(output: Path) -> None:
    """Remove what killed merges into the same target, on this machine, have left beside it."""
    mark = f".{platform.node()}."
    # Elsewhere than on posix there is no harmless way to ask whether a process is alive.
    for path in output.parent.glob(f"{mark}*.{glob.escape(output.name)}") if os.name == "posix" else ():
        owner = path.name.removeprefix(mark).removesuffix(f".{output.name}")
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except (ValueError, OverflowError, OSError):
            continue  # not a process of ours
