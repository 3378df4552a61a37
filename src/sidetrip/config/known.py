"""Sources of pictures, and data sets that are known by name: what settings are checked against unread."""

from __future__ import annotations

from dataclasses import dataclass

# Networks of our own, with the residual blocks in each of their three stages; all others are torchvision's.
OWN_NETWORKS = {"resnet8": 1, "resnet20": 3}


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


@dataclass(frozen=True)
class Source:
    """Where pictures may come from.

    Attributes
    ----------
    origin : str
        How a report says it.
    names : tuple of str
        The known data sets that it has, so that settings are checked against their sizes; empty: any pictures.
    root : str
        What the folder that `data.root` names does ("holds ..."); empty: no such folder is read.
    root_is_there : bool
        Whether that folder must be there before anything runs.
    """

    origin: str
    names: tuple[str, ...] = ()
    root: str = ""
    root_is_there: bool = False


# By what data.source says. data/sources.py has the case of each.
SOURCES = {
    "embedded": Source(
        "all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository", ("fashion_mnist",)
    ),
    "torchvision": Source(
        "downloaded by torchvision",
        tuple(name for name, facts in KNOWN_DATASETS.items() if facts.torchvision),
        "takes downloads",
    ),
    "folder": Source(
        "a folder of image files that is not part of this repository",
        root="holds <split>/<class>/ folders of pictures",
        root_is_there=True,
    ),
}
