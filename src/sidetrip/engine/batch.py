"""A batch: samples with labels, and what is drawn as a network goes over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples that go through a network together; unpacks into pictures and labels.

    The random masks of a network in training (dropout, stochastic depth) depend on `key` and on nothing else: at one
    point a batch has one loss and one gradient, however often they are taken.

    Attributes
    ----------
    pictures : Tensor [batch, channels, height, width]
        Inputs.
    labels : Tensor [batch]
        Classes.
    key : tuple
        Which batch it is.
    """

    pictures: Tensor
    labels: Tensor
    key: tuple[object, ...] = ()

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.pictures, self.labels))
