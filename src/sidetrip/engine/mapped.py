"""Packed pictures that stay on disk: mapped, and gathered ahead of the step that takes them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sidetrip.data.packed import checksum, load_pictures, shard_paths
from sidetrip.engine.loading import Form, PictureLoader, ResidentLoader, Windows, send
from sidetrip.files import FileError, remedy

MOST_RESIDENT = 2**30  # bytes of a split's files that every worker may hold for itself
THREADS_FOR_A_GPU = 8  # that gather: a disk answers many at once sooner than one after another


class Shards:
    """The mapped shards of a split: only what is asked for is read, and the page cache is every worker's.

    Raises
    ------
    FileError
        If a shard cannot be read, or they hold not so many pictures.
    """

    def __init__(self, folder: Path, split: str, samples: int) -> None:
        self._paths = shard_paths(folder, split)
        self._pictures, labels, checksums = [], [np.empty(0, np.int64)], [np.empty(0, np.uint32)]
        for path in self._paths:
            try:
                with safe_open(path, framework="pt") as file:  # its tensors are views of the mapped file
                    self._pictures.append(file.get_tensor("pictures").numpy())
                    labels.append(file.get_tensor("labels").numpy())
                    checksums.append(file.get_tensor("checksums").numpy())
            except (OSError, SafetensorError) as error:
                raise FileError(f"{path}: damaged ({error}); {remedy(path)}") from error
        self.labels, self._checksums = np.concatenate(labels), np.concatenate(checksums)
        if len(self) != samples:
            where = folder / split
            raise FileError(f"{where}: holds {len(self)} pictures of {samples}; {remedy(where / 'shard')}")
        self._ends = np.cumsum([len(pictures) for pictures in self._pictures])
        self._checked = np.zeros(samples, dtype=bool)
        self.shape = self._pictures[0].shape[1:]

    def __len__(self) -> int:
        return len(self.labels)

    def copy(self, indices: np.ndarray, target: np.ndarray) -> None:
        """Copy pictures into `target` uint8 [n, side, side, channels]; each is checked when it is first read.

        Raises
        ------
        FileError
            If a picture is not what was packed.
        """
        shards = np.searchsorted(self._ends, indices, side="right")
        for index, shard, picture in zip(indices, shards, target, strict=True):
            pictures = self._pictures[shard]
            row = index - self._ends[shard]  # from the shard's end
            np.copyto(picture, pictures[row])
            if not self._checked[index]:
                if checksum(picture, self.labels[index]) != self._checksums[index]:
                    path = self._paths[shard]
                    raise FileError(
                        f"{path}: damaged, picture {len(pictures) + row} is not what was packed; {remedy(path)}"
                    )
                self._checked[index] = True


class Gathering(NamedTuple):
    """Pictures on their way into a buffer; its `parts` are done when it is filled."""

    indices: np.ndarray
    buffer: Tensor
    parts: list[Future[None]]


class MappedLoader(PictureLoader):
    """Pictures of mapped shards, gathered by threads ahead of the step."""

    resident = False

    def __init__(self, shards: Shards, form: Form, device: torch.device | str) -> None:
        super().__init__(form, device, shards.shape[0])
        self._shards = shards
        self._threads = THREADS_FOR_A_GPU if self.device.type == "cuda" else 1
        self._pool = ThreadPoolExecutor(self._threads, "gather")
        self._ahead: Gathering | None = None

    def __len__(self) -> int:
        return len(self._shards)

    def prepare(self, indices: np.ndarray) -> None:
        """Begin to gather a batch; the one prepared before is forgotten."""
        self._ahead = self._gather(indices)

    def _gather(self, indices: np.ndarray) -> Gathering:
        buffer = torch.empty(
            (len(indices), *self._shards.shape), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        parts = zip(np.array_split(indices, self._threads), np.array_split(buffer.numpy(), self._threads), strict=True)
        return Gathering(indices, buffer, [self._pool.submit(self._shards.copy, *part) for part in parts])

    def _held(self, indices: np.ndarray) -> tuple[Windows, Tensor, np.ndarray]:
        gathering = self._ahead
        if gathering is None or not np.array_equal(gathering.indices, indices):
            gathering = self._gather(indices)
        else:
            self._ahead = None
        for part in gathering.parts:
            part.result()
        pictures = gathering.buffer.to(self.device, non_blocking=True)
        windows = Windows(pictures, self._form.size, self._form.shift)
        return windows, send(self._shards.labels[indices], self.device), np.arange(len(indices))


def open_loader(folder: Path, split: str, samples: int, form: Form, device: torch.device, crops: bool) -> PictureLoader:
    """Loader of a split of prepare_data's output.

    Mapped if the files are larger than MOST_RESIDENT, or if `crops` will be asked for: those take whole pictures,
    for which a copy that is laid out for moved windows brings nothing.

    Raises
    ------
    FileError
        If a file is missing or damaged.
    """
    if crops or sum(path.stat().st_size for path in shard_paths(folder, split)) > MOST_RESIDENT:
        return MappedLoader(Shards(folder, split, samples), form, device)
    return ResidentLoader(load_pictures(folder, split), form, device)
