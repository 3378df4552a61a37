"""A batch: samples with their targets, and what is drawn as a network goes over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples that go through a network together; unpacks into inputs and targets.

    The random masks of a network in training (dropout, stochastic depth) depend on `key` and on nothing else: at one
    point a batch has one loss and one gradient, however often they are taken.
    """

    inputs: Tensor  # pictures [batch, channels, height, width], or tokens [batch, context]
    targets: Tensor  # class of each picture [batch], or of each token the next [batch, context]
    key: tuple[object, ...] = ()  # which batch it is

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.inputs, self.targets))
