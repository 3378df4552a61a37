"""safetensors files tensor by tensor, in blocks: whatever the size of a model, a few megabytes are in memory.

References
----------
https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError

INDEX = "model.safetensors.index.json"
BLOCK = 2**20  # elements
LARGEST_HEADER = 100_000_000  # bytes, the format's own limit
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "C64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1}
SIZES |= {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1}  # bytes of an element
FLOATS = ("F64", "F32", "F16", "BF16")
DECODED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes
    ----------
    path : Path
        The file.
    dtype : str
        As the format names it.
    shape : tuple of int
        Of the tensor.
    start : int
        First byte in the file.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def raw(self) -> Iterator[bytes]:
        """Its bytes, block by block."""
        left = self.elements * SIZES[self.dtype]
        with self.path.open("rb") as file:
            file.seek(self.start)
            while left:
                part = file.read(min(left, 8 * BLOCK))
                if not part:
                    raise FileError(f"{self.path}: ends in the middle of a tensor; it is damaged, copy it again")
                left -= len(part)
                yield part

    def block(self, file: BinaryIO, first: int, count: int) -> NDArray[np.float64]:
        """Some of its elements, as float64."""
        size = SIZES[self.dtype]
        file.seek(self.start + first * size)
        part: NDArray[Any] = np.frombuffer(file.read(count * size), DECODED[self.dtype])
        if self.dtype == "BF16":
            part = (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float64)


def encoded(values: NDArray[np.float64], dtype: str) -> bytes:
    """Numbers in a floating type, rounded to nearest."""
    with np.errstate(over="ignore"):
        if dtype != "BF16":
            return values.astype(DECODED[dtype]).tobytes()
        bits = values.astype(np.float32).view(np.uint32)
        # Half of the last place that is kept, and ties to even; what is not a number stays so.
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return np.where(np.isnan(values), 0x7FC0, rounded).astype("<u2").tobytes()


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file, by name, in the order in which they lie there.

    Raises
    ------
    FileError
        If the file is missing or is no whole safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > LARGEST_HEADER:
                raise ValueError("its header has no sensible length")
            header: dict[str, Any] = json.loads(file.read(length))
            size = path.stat().st_size
        header.pop("__metadata__", None)
        found = {name: _entry(path, entry, 8 + length) for name, entry in header.items()}
        ends = [tensor.start + tensor.elements * SIZES[tensor.dtype] for tensor in found.values()]
        if max(ends, default=8 + length) != size:
            raise ValueError(f"{size} bytes long where its header says {max(ends, default=8 + length)}")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise FileError(f"{path}: no whole safetensors file ({error}); copy or convert it again") from error
    return dict(sorted(found.items(), key=lambda item: item[1].start))


def _entry(path: Path, entry: Mapping[str, Any], data: int) -> StoredTensor:
    if entry["dtype"] not in SIZES:
        raise ValueError(f"unknown type {entry['dtype']}")
    begin, end = entry["data_offsets"]
    tensor = StoredTensor(path, entry["dtype"], tuple(map(int, entry["shape"])), data + int(begin))
    if end - begin != tensor.elements * SIZES[tensor.dtype]:
        raise ValueError("a tensor's length does not fit its shape")
    return tensor


def read_snapshot(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a snapshot: a file, or a folder with one file or with an index of shards.

    Raises
    ------
    FileError
        If something is missing, damaged or ambiguous.
    """
    if not path.is_dir():
        return read_header(path)
    index = path / INDEX
    if index.is_file():
        return _read_shards(index)
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise FileError(f"{path}: holds {len(files)} safetensors files and no {INDEX}; name the file")
    return read_header(files[0])


def _read_shards(index: Path) -> dict[str, StoredTensor]:
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {name: read_header(index.parent / name) for name in sorted(set(places.values()))}
        return {name: shards[shard][name] for name, shard in places.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{index}: cannot be read ({error}); copy it again") from error
    except KeyError as error:
        raise FileError(f"{index}: names the tensor {error}, which its shard does not hold; copy it again") from error


def header_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """Head of a safetensors file whose tensors (type and shape by name) follow in this order."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape) in tensors.items():
        end = start + math.prod(shape) * SIZES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    content = json.dumps(entries, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content
