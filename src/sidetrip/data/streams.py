"""Batch streams: randomness without memory.

Which samples a batch holds, and how each is augmented, is a pure function of (seed, stream name,
step). Any step can be replayed alone, by any worker, with nothing saved. Every epoch of a stream
visits each sample once, in a new order; an epoch's last samples that fill no batch are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sidetrip.data.packed import Pictures
from sidetrip.randomness import generator


def torch_generator(device: torch.device, *key: object) -> torch.Generator:
    """Generator of torch, whose draws are made on the device, that depends on `key` alone."""
    return torch.Generator(device).manual_seed(int(generator(*key).integers(2**63)))


@lru_cache(maxsize=8)
def order(seed: int, name: str, epoch: int, samples: int) -> np.ndarray:
    """Order in which an epoch of a stream visits the samples, shape (samples,)."""
    return generator(seed, name, "order", epoch).permutation(samples)


@dataclass(frozen=True)
class Augmentation:
    """Moves by up to `shift` pixels each way (black comes in), mirror images with probability 1/2."""

    shift: int = 0
    flip: bool = False


class Loader:
    """Pictures on a device, normalised and augmented there in batch.

    Parameters
    ----------
    split : Pictures
        The data.
    mean, deviation : list of float
        Of each channel, in units of the full scale.
    margin : int
        Largest shift that will be asked for.
    device : torch.device
        Where the uint8 pictures live and the batches are made.
    """

    def __init__(
        self, split: Pictures, mean: list[float], deviation: list[float], margin: int, device: torch.device | str
    ) -> None:
        self.device = torch.device(device)
        self.labels = split.labels.to(self.device)
        samples, channels, self.side, _ = split.pictures.shape
        self._margin, self._width = margin, self.side + 2 * margin
        padded = torch.nn.functional.pad(split.pictures, (margin,) * 4) if margin else split.pictures
        # Channels last in memory, so that a window of pixels is whole wherever in memory it begins: element i
        # is the picture whose top left pixel is the i-th of all padded pixels.
        pixels = padded.permute(0, 2, 3, 1).contiguous().to(self.device)
        begins = samples * self._width**2 - (self.side - 1) * (self._width + 1)
        self._windows = pixels.as_strided(
            (begins, self.side, self.side, channels), (channels, self._width * channels, channels, 1)
        )
        self._scale = 1.0 / (255.0 * torch.tensor(deviation, device=self.device, dtype=torch.float32))
        self._offset = -torch.tensor(mean, device=self.device) / torch.tensor(deviation, device=self.device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, indices: np.ndarray, shifts: np.ndarray | None = None, flips: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pictures float32 [n, channels, side, side] in channels_last memory, and labels [n].

        `shifts` int [n, 2] (down, right) and `flips` bool [n] say how each sample is augmented.
        """
        down, right = (0, 0) if shifts is None else shifts.T
        corners = (indices * self._width + self._margin - down) * self._width + self._margin - right
        mirrored = np.zeros(len(indices), dtype=np.int64) if flips is None else flips
        which, corner, mirror = self._send(np.stack([indices, corners, mirrored]))
        pixels = self._windows.index_select(0, corner)
        if flips is not None:
            pixels = torch.where(mirror.bool()[:, None, None, None], pixels.flip(2), pixels)
        return (pixels.float() * self._scale + self._offset).permute(0, 3, 1, 2), self.labels[which]

    def _send(self, numbers: np.ndarray) -> Tensor:
        """Numbers on the device, in one transfer that a GPU's queue does not wait for."""
        sent = torch.from_numpy(numbers)
        return sent.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else sent


@dataclass(frozen=True)
class TrainingStream:
    """The batch of any step of a named stream; step t + 1 of a run takes batch t + 1, the first is 1.

    Parameters
    ----------
    loader : Loader
        The training pictures.
    seed : int
        Seed of the run.
    name : str
        "train" for the main trajectory; any other name is another, independent sequence.
    batch_size : int
        Samples a batch.
    augmentation : Augmentation
        Drawn anew for each sample of each step.
    """

    loader: Loader
    seed: int
    name: str
    batch_size: int
    augmentation: Augmentation = field(default_factory=Augmentation)

    def indices(self, step: int) -> np.ndarray:
        """Which samples the batch of a step holds, shape (batch_size,)."""
        epoch, position = divmod(step - 1, len(self.loader) // self.batch_size)
        visited = order(self.seed, self.name, epoch, len(self.loader))
        return visited[position * self.batch_size : (position + 1) * self.batch_size]

    def batch(self, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Pictures and labels of a step, or of a part of its samples, as they are in the whole batch."""
        random = generator(self.seed, self.name, "augmentation", step)
        shift = self.augmentation.shift
        shifts = random.integers(-shift, shift + 1, size=(self.batch_size, 2)) if shift else None
        flips = random.random(self.batch_size) < 0.5 if self.augmentation.flip else None
        drawn = (None if x is None else x[part] for x in (shifts, flips))
        return self.loader.batch(self.indices(step)[part], *drawn)


class FixedBatches:
    """A part of a split in batches, without augmentation; the same at every pass.

    Parameters
    ----------
    loader : Loader
        The split.
    indices : ndarray
        Which samples.
    batch_size : int
        Samples a batch; the last holds the rest.
    """

    def __init__(self, loader: Loader, indices: np.ndarray, batch_size: int) -> None:
        # Normalised once: a split is gone through many times in an experiment.
        self._batches = [loader.batch(indices[i : i + batch_size]) for i in range(0, len(indices), batch_size)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
