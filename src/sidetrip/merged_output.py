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
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError, remove, replacing
from sidetrip.number_formats import SIZES
from sidetrip.tensor_files import FOREIGN_SUFFIXES, INDEX_SUFFIX, MERGED_STEPS, SUFFIX, Snapshot, header_bytes
from sidetrip.weighted_sum import copied_blocks, weighted_blocks

COMPANIONS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".py", ".yaml", ".md")  # settings, tokenizers
DIGEST = re.compile("hash|sha256|digest", re.IGNORECASE)  # in the names of metadata, of other weights than the merged
STALE = ("trainer_state.json", "scheduler.json")  # of the run, not of the model


def check_output(output: Path | None, inputs: Sequence[Path], newest: Snapshot) -> None:
    """Refuse a target that is missing, of another format, or that would replace what it must not."""
    if output is None:
        raise FileError(f"--output: not given; name the file to write, NAME{SUFFIX}, or use --dry-run")
    if output.suffix in FOREIGN_SUFFIXES:
        raise FileError(f"{output}: safetensors is what is written; name it {output.with_suffix(SUFFIX).name}")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise FileError(f"{output}: is one of the snapshots; write to another place")
    for path in inputs:
        folder = path.parent if path.name.endswith(INDEX_SUFFIX) else path
        if output.resolve().is_relative_to(folder.resolve()):
            raise FileError(f"{output}: lies within {folder}, which is one of the snapshots; write to another place")
    if output.suffix == SUFFIX:
        if output.is_symlink() or (output.exists() and not output.is_file()):
            raise FileError(f"{output}: is there and no regular file; name another file to write")
    elif newest.folder is None:
        raise FileError(f"{output}: would be a folder, the snapshots are single files; name it {output.name}{SUFFIX}")
    elif output.is_symlink() or (output.exists() and (not output.is_dir() or any(output.iterdir()))):
        raise FileError(f"{output}: is there and no empty folder; name a new one, or a file, NAME{SUFFIX}")
    else:
        for name in companions(newest.folder):
            (newest.folder / name).open("rb").close()  # raises before anything is written


def write_merged(
    snapshots: Mapping[int, Snapshot],
    coefficients: Sequence[float],
    output: Path,
    copied: Collection[str],
    dtype: str | None = None,
) -> None:
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
    copied : collection of str
        Names of the tensors that are not averaged.
    dtype : str, optional
        Type of the averaged tensors, a key of `number_formats.SIZES`; by default they keep theirs.

    Raises
    ------
    FileError
        If a file cannot be read or written, a snapshot is not finite, or a sum is too large for `dtype`. `output` is
        then as it was.
    """
    newest = list(snapshots.values())[-1]
    terms = [(step, coefficient) for step, coefficient in zip(snapshots, coefficients, strict=True) if coefficient]
    metadata = {name: text for name, text in newest.metadata.items() if not DIGEST.search(name)} | {
        MERGED_STEPS: json.dumps(list(snapshots)),
        "merged_coefficients": json.dumps(list(coefficients)),
    }

    def form(name: str) -> tuple[str, tuple[int, ...], int]:
        tensor = newest.tensors[name]
        if name in copied or dtype is None:
            return tensor.dtype, tensor.shape, tensor.size
        return dtype, tensor.shape, math.prod(tensor.shape) * SIZES[dtype]

    def blocks(name: str, kind: str) -> Iterator[NDArray[Any]]:
        if name in copied:
            return copied_blocks(newest.tensors[name])
        return weighted_blocks(name, {step: (snapshots[step].tensors[name], c) for step, c in terms}, kind)

    def write_file(path: Path, names: Iterable[str]) -> int:
        """Write some of the tensors and return how many bytes they take."""
        layout = [(name, *form(name)) for name in names]
        # Large numbers first, so that each tensor is aligned.
        layout.sort(key=lambda entry: -entry[3] // max(math.prod(entry[2]), 1))
        with path.open("wb") as file:
            file.write(header_bytes(layout, metadata))
            for name, kind, *_ in layout:
                for block in blocks(name, kind):
                    file.write(block.view(np.uint8).data)
        return sum(size for *_, size in layout)

    _remove_left_over(output)
    with replacing(output) as temporary:
        if output.suffix == SUFFIX or not newest.folder:
            write_file(temporary, newest.tensors)
        else:
            _write_folder(write_file, temporary, newest, newest.folder)


def companions(folder: Path) -> list[str]:
    """Names of the files of a model beside its weights: settings, tokenizer, code."""
    return [
        path.name
        for path in sorted(folder.iterdir())
        if path.suffix in COMPANIONS and not path.is_dir() and path.name not in STALE
        if not path.name.endswith(INDEX_SUFFIX)
    ]


def _write_folder(
    write_file: Callable[[Path, Iterable[str]], int], folder: Path, newest: Snapshot, former: Path
) -> None:
    """Shards, index, settings and tokenizer as the newest snapshot has them."""
    folder.mkdir()
    shards = defaultdict(list)
    for name, tensor in newest.tensors.items():
        shards[tensor.path.name].append(name)
    total = sum(write_file(folder / shard, names) for shard, names in shards.items())
    if newest.index:
        index = json.loads(newest.index.read_text(encoding="utf-8"))
        metadata = index.get("metadata")
        index["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "total_size": total}
        index["weight_map"] = {name: shard for shard, names in shards.items() for name in names}
        (folder / newest.index.name).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    for name in companions(former):
        shutil.copyfile(former / name, folder / name)


def _remove_left_over(output: Path) -> None:
    """Remove what killed merges into the same target, on this machine, have left beside it."""
    mark = f".{platform.node()}."
    for path in output.parent.glob(f"{mark}*.{glob.escape(output.name)}"):
        owner = path.name.removeprefix(mark).removesuffix(f".{output.name}")
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            remove(path)
        except (ValueError, OverflowError, OSError):
            continue  # not a process of ours
