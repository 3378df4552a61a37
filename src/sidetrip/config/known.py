"""Data sets that are known by name: what a setting can be checked against before any picture is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """Size of a data set.

    Attributes
    ----------
    training_pictures, validation_pictures : int
        In each split.
    channels, classes : int
        Of the pictures, and of the labels.
    torchvision : bool
        Whether `data.source` may be torchvision.
    """

    training_pictures: int
    validation_pictures: int
    channels: int
    classes: int
    torchvision: bool = True


KNOWN_DATASETS = {
    "fashion_mnist": DatasetFacts(60_000, 10_000, 1, 10),
    "cifar10": DatasetFacts(50_000, 10_000, 3, 10),
    "cifar100": DatasetFacts(50_000, 10_000, 3, 100),
    "imagenet": DatasetFacts(1_281_167, 50_000, 3, 1000, torchvision=False),
}
