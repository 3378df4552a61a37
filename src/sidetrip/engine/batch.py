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

    Attributes
    ----------
    inputs : Tensor [batch, ...]
        Pictures [batch, channels, height, width], or tokens [batch, context].
    targets : Tensor [batch, ...]
        Class of each picture, or of each token the next.
    key : tuple
        Which batch it is.
    """

    inputs: Tensor
    targets: Tensor
    key: tuple[object, ...] = ()

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.inputs, self.targets))
