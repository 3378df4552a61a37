"""Sources of pictures, and data sets that are known by name: what settings are checked against unread."""

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


# Where pictures may come from (data.source), and how a report says it. data/sources.py has the case of each.
SOURCES = {
    "embedded": "all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository",
    "torchvision": "downloaded by torchvision",
    "folder": "a folder of image files that is not part of this repository",
}

KNOWN_DATASETS = {
    "fashion_mnist": DatasetFacts(60_000, 10_000, 1, 10),
    "cifar10": DatasetFacts(50_000, 10_000, 3, 10),
    "cifar100": DatasetFacts(50_000, 10_000, 3, 100),
    "imagenet": DatasetFacts(1_281_167, 50_000, 3, 1000, torchvision=False),
}
