"""Packed pictures as batches on a device, and loaders that hold all of them there.

Whether a loader holds or maps its pictures (`mapped`) never changes a bit: both hand the same uint8 pictures to the
same arithmetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sidetrip.data.packed import Pictures
from sidetrip.engine.crops import crop


@dataclass(frozen=True)
class Form:
    """What batches are made of."""

    size: int  # side of the pictures in pixels
    mean: Sequence[float]  # of each channel, in units of the full scale, by which they are normalised
    deviation: Sequence[float]
    shift: int = 0  # largest move of the central window that will be asked for


def send(numbers: np.ndarray, device: torch.device) -> Tensor:
    """Numbers on a device, in one transfer that a GPU's queue does not wait for."""
    sent = torch.from_numpy(numbers)
    return sent.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else sent


class Windows:
    """Windows of `size` pixels a side of pictures uint8 [n, side, side, channels], moved by up to `shift` pixels.

    Beyond the edges of a picture is black.
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


class Loader(ABC):
    """The samples of a split as batches on a device."""

    resident = True  # whether a batch is had without reading files

    @abstractmethod
    def __len__(self) -> int: ...

    def prepare(self, indices: np.ndarray) -> None:  # noqa: B027 - nothing to do where samples are resident
        """Begin to read what the next batch needs."""

    @abstractmethod
    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some samples."""


class PictureLoader(Loader):
    """Pictures with their classes, stored with `side` pixels a side; normalised and augmented on the device."""

    def __init__(self, form: Form, device: torch.device | str, side: int) -> None:
        self.device, self.side, self._form = torch.device(device), side, form
        deviation = torch.tensor(form.deviation, device=self.device, dtype=torch.float32)
        self._scale = 1.0 / (255.0 * deviation)
        self._offset = -torch.tensor(form.mean, device=self.device) / deviation

    @abstractmethod
    def _held(self, indices: np.ndarray) -> tuple[Windows, Tensor, np.ndarray]:
        """Pictures on the device with their labels, and which rows of them are a batch, in its order."""

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """The central windows of some pictures, `normalised`, and their labels [n]."""
        pixels, labels = self.pixels(indices)
        return self.normalised(pixels), labels

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pictures float32 [n, channels, size, size] in channels_last memory, of pixels [n, size, size, channels]."""
        return (pixels.float() * self._scale + self._offset).permute(0, 3, 1, 2)

    def pixels(
        self,
        indices: np.ndarray,
        shifts: np.ndarray | None = None,
        flips: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [n, size, size, channels], and labels [n].

        How each sample is augmented say `shifts` int [n, 2] (down, right) of the central window, or `boxes`
        int [n, 4] (top, left, height, width) of the stored picture, which are scaled, and then `flips` bool [n].
        """
        windows, labels, rows = self._held(indices)
        mirrored = np.zeros(len(indices), dtype=np.int64) if flips is None else flips
        if boxes is None:
            row, corner, mirror = send(np.stack([rows, windows.corners(rows, shifts), mirrored]), self.device)
            pixels = windows.take(corner)
            if flips is not None:
                pixels = torch.where(mirror.bool()[:, None, None, None], pixels.flip(2), pixels)
        else:
            row, mirror, *box = send(np.stack([rows, mirrored, *boxes.T]), self.device)
            whole = windows.pictures.index_select(0, row)
            pixels = crop(whole, torch.stack(box, dim=1), mirror.bool(), self._form.size)
        return pixels, labels[row]


class ResidentLoader(PictureLoader):
    """All pictures on the device."""

    def __init__(self, split: Pictures, form: Form, device: torch.device | str) -> None:
        super().__init__(form, device, split.pictures.shape[1])
        pictures = torch.from_numpy(np.ascontiguousarray(split.pictures)).to(self.device)
        self._windows = Windows(pictures, form.size, form.shift)
        self._labels = torch.from_numpy(split.labels).to(self.device)

    def __len__(self) -> int:
        return len(self._labels)

    def _held(self, indices: np.ndarray) -> tuple[Windows, Tensor, np.ndarray]:
        return self._windows, self._labels, indices
