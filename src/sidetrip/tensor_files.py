"""safetensors files read and laid out tensor by tensor, so that no more than a block of a model is ever in memory.

A file is 8 bytes with the length of the header, the header in JSON (for each tensor its type, shape and place), and the
bytes of the tensors, without gaps. A model may be split into shards: files of this kind, and an index of which tensor
lies in which of them.

References
----------
https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError

INDEX_SUFFIX = ".safetensors.index.json"
LARGEST_HEADER = 100_000_000  # bytes, the format's own limit
LFS_POINTER = b"version "  # how one begins
PICKLES = (b"PK\x03\x04", b"\x80\x02")  # how files of torch.save begin
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8, "BOOL": 1}
SIZES |= {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1}  # bytes of a number

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes
    ----------
    path : Path
        The file.
    dtype : str
        The type of its numbers, as safetensors names it; a key of `SIZES`.
    shape : tuple of int
        Its shape.
    start : int
        Place of its first byte in the file.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return self.elements * SIZES[self.dtype]


@dataclass(frozen=True)
class Snapshot:
    """The tensors of a model, in one file or in several.

    Attributes
    ----------
    path : Path
        The file or folder, as it was named.
    tensors : dict of str to StoredTensor
        By name.
    metadata : dict of str to str
        What the file says of itself; empty for shards that say different things.
    """

    path: Path
    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]


class TensorReader:
    """An open tensor that is read in order, into memory that its caller owns."""

    def __init__(self, tensor: StoredTensor) -> None:
        self.tensor = tensor
        try:
            self._file = tensor.path.open("rb", buffering=0)
            self._file.seek(tensor.start)
        except OSError as error:
            raise FileError(f"{tensor.path}: cannot be read ({error.strerror}); check the path") from error

    def read(self, into: Bytes) -> None:
        """Fill `into` with the next bytes of the tensor.

        Raises
        ------
        FileError
            If the file is shorter than its header said, or cannot be read.
        """
        view = into.data
        try:
            while len(view):
                count = self._file.readinto(view)
                if not count:
                    raise FileError(f"{self.tensor.path}: became shorter while it was read; let its writer finish")
                view = view[count:]
        except OSError as error:
            raise FileError(f"{self.tensor.path}: cannot be read ({error.strerror}); copy it again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


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
    indices, files = sorted(path.glob(f"*{INDEX_SUFFIX}")), sorted(path.glob("*.safetensors"))
    if len(indices) == 1:
        return _read_shards(path, indices[0])
    if len(indices) > 1 or len(files) != 1:
        raise FileError(
            f"{path}: holds {len(indices)} indices of shards (*{INDEX_SUFFIX}) and {len(files)} safetensors files; "
            "name the one that is meant"
        )
    return Snapshot(path, *_read_header(files[0]))


def in_stored_order(tensors: Mapping[str, StoredTensor]) -> list[str]:
    """Names in the order in which the tensors lie in their files."""
    return sorted(tensors, key=lambda name: (tensors[name].path, tensors[name].start, name))


def header_bytes(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Head of a safetensors file.

    Parameters
    ----------
    tensors : iterable of (str, str, tuple of int)
        Name, type and shape of each tensor, in the order in which their bytes will follow.
    metadata : mapping of str to str
        What the file says of itself.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, dtype, shape in tensors:
        end = start + math.prod(shape) * SIZES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    content = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content


def _read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of one file, in the order in which they lie there, and its metadata."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(8)
            if len(head) < 8:
                raise ValueError(f"it is only {size} bytes long")
            length = struct.unpack("<Q", head)[0]
            if length > min(LARGEST_HEADER, size - 8):
                if head.startswith(PICKLES):
                    raise ValueError("a pickled checkpoint, which is never opened here; docs/merge.md converts it")
                if head == LFS_POINTER:
                    raise FileError(f"{path}: a pointer of Git LFS, not the file; run `git lfs pull`")
                raise ValueError(f"its header should be {length} bytes long, the whole file is {size}")
            header = json.loads(file.read(length), object_pairs_hook=_without_repetition)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("its metadata are not text")
        tensors = {name: _entry(path, name, entry, 8 + length) for name, entry in header.items()}
        tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)))
        _check_places(tensors, 8 + length, size)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{path}: not a whole safetensors file ({reason}); copy or convert it again") from error
    return tensors, metadata


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"its header names {next(n for n in names if names.count(n) > 1)} twice")
    return found


def _entry(path: Path, name: str, entry: Mapping[str, Any], data: int) -> StoredTensor:
    if entry["dtype"] not in SIZES:
        raise ValueError(f"{name} is of the unknown type {entry['dtype']}")
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if any(type(number) is not int or number < 0 for number in (begin, end, *shape)):
        raise ValueError(f"shape or place of {name} is not made of whole numbers")
    tensor = StoredTensor(path, entry["dtype"], shape, data + begin)
    if end - begin != tensor.size:
        raise ValueError(f"{name} takes {end - begin} bytes, by its shape {tensor.size}")
    return tensor


def _check_places(tensors: Mapping[str, StoredTensor], data: int, size: int) -> None:
    """Refuse gaps and overlaps between the tensors, and a file that ends early or late."""
    end = data
    for name, tensor in tensors.items():
        if tensor.start != end:
            raise ValueError(f"{name} begins at byte {tensor.start}, the tensor before it ends at {end}")
        end += tensor.size
    if end != size:
        raise ValueError(f"it is {size} bytes long, by its header {end}")


def _read_shards(path: Path, index: Path) -> Snapshot:
    places = _weight_map(index)
    shards = {shard: _read_header(index.parent / shard) for shard in sorted(set(places.values()))}
    # A shard may hold more than the index says; loaders take it as well.
    tensors = {name: tensor for found, _ in shards.values() for name, tensor in found.items()}
    for name, shard in places.items():
        if name not in shards[shard][0]:
            raise FileError(f"{index.parent / shard}: has no tensor {name}, which {index.name} places there; copy both")
        tensors[name] = shards[shard][0][name]
    said = [metadata for _, metadata in shards.values()]
    return Snapshot(path, tensors, said[0] if all(metadata == said[0] for metadata in said) else {})


def _weight_map(index: Path) -> dict[str, str]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not places or not all(isinstance(shard, str) for shard in places.values()):
            raise ValueError("its weight_map names no files")
    except OSError as error:
        raise FileError(f"{index}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{index}: not an index of shards ({reason}); copy it again") from error
    return dict(places)
