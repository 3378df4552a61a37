"""Batch streams: randomness without memory.

Which samples a batch holds, how each is augmented, and which random masks a network has on it, is a pure function of
(seed, stream name, step). Any step can be replayed alone, by any worker, with nothing saved. Every epoch of a stream
visits each sample once, in a new order; an epoch's last samples that fill no batch are left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import numpy as np
from torch import Tensor

from sidetrip.engine.batch import Batch
from sidetrip.engine.crops import draw_boxes
from sidetrip.engine.loading import Loader, PictureLoader
from sidetrip.engine.randomness import generator


@lru_cache(maxsize=8)
def order(seed: int, name: str, epoch: int, samples: int) -> np.ndarray:
    """Order in which an epoch of a stream visits the samples, shape (samples,)."""
    return generator(seed, name, "order", epoch).permutation(samples)


@dataclass(frozen=True)
class TrainingStream(ABC):
    """The batch of any step of a named stream; step t + 1 of a run takes batch t + 1, the first is 1.

    The main trajectory's is named "train"; any other name is another, independent sequence.
    """

    loader: Loader
    seed: int
    name: str
    batch_size: int

    def indices(self, step: int) -> np.ndarray:
        """Which samples the batch of a step holds, shape (batch_size,)."""
        position = (step - 1) % self._batches * self.batch_size
        visited = order(self.seed, self.name, self.epoch(step), len(self.loader))
        return visited[position : position + self.batch_size]

    def epoch(self, step: int) -> int:
        """Which epoch a step is of; the first is 0."""
        return (step - 1) // self._batches

    @property
    def _batches(self) -> int:
        return len(self.loader) // self.batch_size

    def batch(self, step: int) -> Batch:
        """Inputs and targets of a step."""
        return self.finished(self.stored(step))

    @abstractmethod
    def stored(self, step: int) -> Batch:
        """The same in the form that takes least memory."""

    def finished(self, batch: Batch) -> Batch:
        """The batch of one that is `stored`."""
        return batch


@dataclass(frozen=True)
class PictureStream(TrainingStream):
    """Pictures with their classes, augmented anew at each step."""

    loader: PictureLoader
    shift: int = 0  # moves by up to so many pixels each way; what lies beyond the stored picture is black
    flip: bool = False  # mirror images with probability 1/2
    crop: float = 0.0  # random boxes of the stored picture, scaled, of at least this share of its area; 0: none

    def stored(self, step: int) -> Batch:
        """Pictures as bytes, a quarter of what they are normalised, and labels."""
        random = generator(self.seed, self.name, "augmentation", step)
        samples, shift = self.batch_size, self.shift
        shifts = random.integers(-shift, shift + 1, size=(samples, 2)) if shift else None
        boxes = draw_boxes(random, samples, self.loader.side, self.crop) if self.crop else None
        flips = random.random(samples) < 0.5 if self.flip else None
        pictures, labels = self.loader.pixels(self.indices(step), shifts, flips, boxes)
        if not self.loader.resident:
            self.loader.prepare(self.indices(step + 1))
        return Batch(pictures, labels, (self.seed, self.name, "masks", step))

    def finished(self, batch: Batch) -> Batch:
        """The same, normalised."""
        return replace(batch, inputs=self.loader.normalised(batch.inputs))


class KeptBatches(Sequence[Batch]):
    """The batches of some steps of a stream, which are used many times, kept as they are `stored`."""

    def __init__(self, stream: TrainingStream, steps: Iterable[int]) -> None:
        self._finished, self._kept = stream.finished, [stream.stored(step) for step in steps]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: Any) -> Any:
        return self._finished(self._kept[index])

    @property
    def samples(self) -> int:
        """Of all batches together."""
        return sum(len(batch.targets) for batch in self._kept)


class FixedBatches:
    """Some samples of a split in batches, the last of which holds the rest; not augmented, the same at every pass."""

    def __init__(self, loader: Loader, indices: np.ndarray, batch_size: int) -> None:
        self._loader = loader
        self._parts = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
        # Resident samples are made ready once: a split is gone through many times in an experiment.
        self._batches = list(self._made()) if loader.resident else None

    def _made(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part, following in zip_longest(self._parts, self._parts[1:]):
            batch = self._loader.batch(part)
            if following is not None:
                self._loader.prepare(following)
            yield batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._made() if self._batches is None else iter(self._batches)

    def __len__(self) -> int:
        return len(self._parts)
