"""safetensors files: headers are read by the library, numbers block by block with numpy.

The library checks headers. Numbers are not read with it, for it maps files: a merge of three models of 1.7 GB would
show 5 GB of resident memory, a file that becomes shorter meanwhile would end the process without a word, and its numpy
side does not read bfloat16. Nor has it a writer that takes a model in pieces: `header_bytes` lays a file out. A model
may be split into shards, with an index of which tensor lies in which.

References
----------
https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sidetrip.files import FileError

SUFFIX = ".safetensors"
INDEX_SUFFIX = f"{SUFFIX}.index.json"
FOREIGN_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".npz", ".gguf", ".onnx", ".h5")
MERGED_STEPS = "merged_steps"  # in the metadata of what was merged
LFS_POINTER = b"version "  # how one begins
LARGEST_HEADER = 100_000_000  # bytes, the format's own limit; a damaged file's length may begin as a pickle does
PICKLES = (b"PK\x03\x04", b"\x80\x02")  # how files of torch.save begin


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file."""

    path: Path
    dtype: str  # as safetensors names it
    shape: tuple[int, ...]
    start: int  # its first byte in the file
    size: int  # in bytes

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class Snapshot:
    """The tensors of a model, in one file or in several."""

    path: Path  # the file or folder, as it was named
    tensors: dict[str, StoredTensor]  # by name, in the order in which they lie in their files
    metadata: dict[str, str]  # what all of its files say of themselves
    index: Path | None = None  # of its shards
    folder: Path | None = None  # that is this snapshot's own


def read_snapshot(path: Path) -> Snapshot:
    """Find the tensors of a snapshot; none of their numbers are read.

    Parameters
    ----------
    path : Path
        A safetensors file, an index of shards, or a folder that holds one of either.

    Raises
    ------
    FileError
        If something is missing, damaged or ambiguous.
    """
    if path.name.endswith(INDEX_SUFFIX):
        return _read_shards(path, path)
    if not path.is_dir():
        return Snapshot(path, *_read_header(path))
    if is_distributed(path):
        raise FileError(f"{path}: a distributed checkpoint of torch (DCP); docs/merge.md has the line that converts it")
    indices, files = sorted(path.glob(f"*{INDEX_SUFFIX}")), sorted(path.glob("*.safetensors"))
    if len(indices) == 1:
        return _read_shards(path, indices[0])
    if indices or len(files) != 1:
        raise FileError(
            f"{path}: holds {len(indices)} indices of shards (*{INDEX_SUFFIX}) and {len(files)} safetensors files; "
            "name the one that is meant"
        )
    return Snapshot(path, *_read_header(files[0]), folder=path)


def stored_bytes(tensor: StoredTensor, first: int, most: int) -> NDArray[np.uint8]:
    """Bytes of a tensor from its byte `first` on, `most` at most; the file is open meanwhile only.

    Raises
    ------
    FileError
        If the file has become shorter, or cannot be read.
    """
    count = min(most, tensor.size - first)
    try:
        found = np.fromfile(tensor.path, np.uint8, count, offset=tensor.start + first)
    except OSError as error:
        raise FileError(f"{tensor.path}: cannot be read ({error.strerror}); copy it again") from error
    if found.size < count:
        raise FileError(f"{tensor.path}: became shorter while it was read; let its writer finish")
    return found


def is_distributed(folder: Path) -> bool:
    """Whether a folder is a distributed checkpoint of torch, as torchtitan, OLMo-core and Megatron write it."""
    return (folder / ".metadata").exists() or any(folder.glob("*.distcp"))


def header_bytes(tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """Head of a safetensors file.

    Parameters
    ----------
    tensors : iterable of (str, str, tuple of int, int)
        Name, type, shape and number of bytes of each tensor, in the order in which their bytes will follow.
    metadata : mapping of str to str
        What the file says of itself.
    """
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, dtype, shape, size in tensors:
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + size]}
        start += size
    content = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content


def _read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of one file, in the order in which they lie there, and its metadata."""
    head = b""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            with safe_open(path, "numpy") as checked:
                metadata = checked.metadata() or {}
            length = struct.unpack("<Q", head)[0]
            header = json.loads(file.read(length))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except SafetensorError as error:
        if head == LFS_POINTER:
            raise FileError(f"{path}: a pointer of Git LFS, not the file; run `git lfs pull`") from error
        if head.startswith(PICKLES) and int.from_bytes(head, "little") > LARGEST_HEADER:
            raise FileError(f"{path}: a pickled checkpoint, never opened here; docs/merge.md converts it") from error
        raise FileError(f"{path}: not a whole safetensors file ({error}); copy or convert it again") from error
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        tensors[name] = StoredTensor(path, entry["dtype"], tuple(entry["shape"]), 8 + length + begin, end - begin)
    return tensors, metadata


def _read_shards(path: Path, index: Path) -> Snapshot:
    places = _weight_map(index)
    shards = {shard: _read_header(index.parent / shard) for shard in sorted(set(places.values()))}
    # A shard may hold more than the index says; loaders take it as well.
    tensors = {name: tensor for found, _ in shards.values() for name, tensor in found.items()}
    for name, shard in places.items():
        if name not in shards[shard][0]:
            raise FileError(f"{index.parent / shard}: has no tensor {name}, which {index.name} places there; copy both")
        tensors[name] = shards[shard][0][name]
    common = set.intersection(*(set(metadata.items()) for _, metadata in shards.values()))
    return Snapshot(path, tensors, dict(sorted(common)), index, index.parent)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not places or not all(isinstance(shard, str) for shard in places.values()):
            raise ValueError("its weight_map names no files")
    except OSError as error:
        raise FileError(f"{index}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{index}: not an index of shards ({' '.join(str(error).split())}); copy it again") from error
    if strange := next((shard for shard in places.values() if Path(shard).name != shard), None):
        raise FileError(f"{index}: places tensors in {strange}, outside its folder; copy the shards beside the index")
    return dict(places)
