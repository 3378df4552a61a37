"""Packed pictures as batches on a device: held there as a whole, or mapped and gathered ahead of the step.

Which of the two never changes a bit: both hand the same uint8 pictures to the same arithmetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sidetrip.data.crops import crop
from sidetrip.data.packed import Pictures, checksum, load_pictures, shard_paths
from sidetrip.files import FileError, remedy

MOST_RESIDENT = 2**30  # bytes of a split's files that every worker may hold for itself
THREADS_FOR_A_GPU = 8  # that gather: a disk answers many at once sooner than one after another


@dataclass(frozen=True)
class Form:
    """What batches are made of.

    Attributes
    ----------
    size : int
        Side of the pictures in pixels.
    mean, deviation : sequence of float
        Of each channel, in units of the full scale, by which they are normalised.
    shift : int
        Largest move of the central window that will be asked for.
    """

    size: int
    mean: Sequence[float]
    deviation: Sequence[float]
    shift: int = 0


class Windows:
    """Windows of stored pictures: the central one, and those around it.

    Parameters
    ----------
    pictures : Tensor
        uint8 [n, side, side, channels]; beyond their edges is black.
    size : int
        Side of a window.
    shift : int
        Largest move.
    """

    def __init__(self, pictures: Tensor, size: int, shift: int) -> None:
        self.pictures = pictures
        samples, side, _, channels = pictures.shape
        centre = (side - size) // 2
        margin = max(0, shift - centre)
        self._first, self._width = centre + margin, side + 2 * margin
        padded = torch.nn.functional.pad(pictures, (0, 0, *(margin,) * 4)) if margin else pictures
        # Element i is the window whose top left pixel is the i-th of all padded pixels.
        begins = samples * self._width**2 - (size - 1) * (self._width + 1)
        self._windows = padded.contiguous().as_strided(
            (begins, size, size, channels), (channels, self._width * channels, channels, 1)
        )

    def corners(self, rows: np.ndarray, shifts: np.ndarray | None) -> np.ndarray:
        """Which window of each of the pictures `rows`; `shifts` int [n, 2] are moves (down, right)."""
        down, right = (0, 0) if shifts is None else shifts.T
        return (rows * self._width + self._first - down) * self._width + self._first - right

    def take(self, corners: Tensor) -> Tensor:
        """Windows uint8 [n, size, size, channels]."""
        return self._windows.index_select(0, corners)


@dataclass(frozen=True)
class Held:
    """Pictures on a device, among them those of a batch: `rows` says where, in the order of the batch."""

    windows: Windows
    labels: Tensor
    rows: np.ndarray


class Loader(ABC):
    """Pictures of a split as batches on a device, normalised and augmented there.

    Parameters
    ----------
    form : Form
        What becomes of the pictures.
    device : torch.device
        Where the batches are made.
    """

    resident = True  # whether a batch is had without reading files

    def __init__(self, form: Form, device: torch.device | str) -> None:
        self.device, self._form = torch.device(device), form
        deviation = torch.tensor(form.deviation, device=self.device, dtype=torch.float32)
        self._scale = 1.0 / (255.0 * deviation)
        self._offset = -torch.tensor(form.mean, device=self.device) / deviation

    @property
    @abstractmethod
    def side(self) -> int:
        """Of the stored pictures, in pixels."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _held(self, indices: np.ndarray) -> Held:
        """The pictures of a batch, on the device."""

    def prepare(self, indices: np.ndarray) -> None:  # noqa: B027 - nothing to do where pictures are resident
        """Begin to read what the next batch needs."""

    def batch(
        self,
        indices: np.ndarray,
        shifts: np.ndarray | None = None,
        flips: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pictures float32 [n, channels, size, size] in channels_last memory, and labels [n].

        How each sample is augmented say `shifts` int [n, 2] (down, right) of the central window, or `boxes`
        int [n, 4] (top, left, height, width) of the stored picture, which are scaled, and then `flips` bool [n].
        """
        held = self._held(indices)
        mirrored = np.zeros(len(indices), dtype=np.int64) if flips is None else flips
        if boxes is None:
            row, corner, mirror = self._send(np.stack([held.rows, held.windows.corners(held.rows, shifts), mirrored]))
            pixels = held.windows.take(corner)
            if flips is not None:
                pixels = torch.where(mirror.bool()[:, None, None, None], pixels.flip(2), pixels)
        else:
            sent = self._send(np.stack([held.rows, mirrored, *boxes.T]))
            row = sent[0]
            pixels = crop(held.windows.pictures.index_select(0, row), sent[2:].T, sent[1].bool(), self._form.size)
        return (pixels.float() * self._scale + self._offset).permute(0, 3, 1, 2), held.labels[row]

    def _send(self, numbers: np.ndarray) -> Tensor:
        """Numbers on the device, in one transfer that a GPU's queue does not wait for."""
        sent = torch.from_numpy(numbers)
        return sent.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else sent


class ResidentLoader(Loader):
    """All pictures on the device."""

    def __init__(self, split: Pictures, form: Form, device: torch.device | str) -> None:
        super().__init__(form, device)
        pictures = torch.from_numpy(np.ascontiguousarray(split.pictures)).to(self.device)
        self._windows = Windows(pictures, form.size, form.shift)
        self._labels = torch.from_numpy(split.labels).to(self.device)

    @property
    def side(self) -> int:
        """See `Loader`."""
        return self._windows.pictures.shape[1]

    def __len__(self) -> int:
        return len(self._labels)

    def _held(self, indices: np.ndarray) -> Held:
        return Held(self._windows, self._labels, indices)


class Shards:
    """The mapped shards of a split: only what is asked for is read, and the page cache is every worker's.

    Parameters
    ----------
    folder : Path
        Output of prepare_data.
    split : str
        "train" or "validation".
    samples : int
        How many pictures there must be.

    Raises
    ------
    FileError
        If a shard is missing or cannot be read.
    """

    def __init__(self, folder: Path, split: str, samples: int) -> None:
        self._paths = shard_paths(folder, split)
        self._pictures, labels, checksums = [], [np.empty(0, np.int64)], [np.empty(0, np.uint32)]
        for path in self._paths:
            try:
                with safe_open(path, framework="pt") as file:  # its tensors are views of the mapped file
                    self._pictures.append(file.get_tensor("pictures").numpy())
                with safe_open(path, framework="np") as file:
                    labels.append(file.get_tensor("labels"))
                    checksums.append(file.get_tensor("checksums"))
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


@dataclass(frozen=True)
class Gathering:
    """Pictures on their way into a buffer."""

    indices: np.ndarray
    buffer: Tensor
    parts: list[Future[None]]

    def finished(self) -> Tensor:
        """The buffer, filled."""
        for part in self.parts:
            part.result()
        return self.buffer


class MappedLoader(Loader):
    """Pictures of mapped shards, gathered by threads ahead of the step."""

    resident = False

    def __init__(self, shards: Shards, form: Form, device: torch.device | str) -> None:
        super().__init__(form, device)
        self._shards = shards
        self._threads = THREADS_FOR_A_GPU if self.device.type == "cuda" else 1
        self._pool = ThreadPoolExecutor(self._threads, "gather")
        self._ahead: Gathering | None = None

    @property
    def side(self) -> int:
        """See `Loader`."""
        return self._shards.shape[0]

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

    def _held(self, indices: np.ndarray) -> Held:
        gathering = self._ahead
        if gathering is None or not np.array_equal(gathering.indices, indices):
            gathering = self._gather(indices)
        else:
            self._ahead = None
        pictures = gathering.finished().to(self.device, non_blocking=True)
        windows = Windows(pictures, self._form.size, self._form.shift)
        return Held(windows, self._send(self._shards.labels[indices]), np.arange(len(indices)))


def open_loader(folder: Path, split: str, samples: int, form: Form, device: torch.device, crops: bool) -> Loader:
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
