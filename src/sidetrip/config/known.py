"""Sources of pictures and text, and data sets that are known by name: what settings are checked against unread."""

from __future__ import annotations

from dataclasses import dataclass

# Networks of our own, with the residual blocks in each of their three stages; all others are torchvision's.
OWN_NETWORKS = {"resnet8": 1, "resnet20": 3}


@dataclass(frozen=True)
class DatasetFacts:
    """Size of a data set: pictures or tokens of each split, channels (of a text 0), labels or different tokens."""

    training_pictures: int
    validation_pictures: int
    channels: int
    classes: int
    torchvision: bool = True  # whether `data.source` may be torchvision
    embedded: str = ""  # if it is in this repository, how a report says so
    text: bool = False


KNOWN_DATASETS = {
    "fashion_mnist": DatasetFacts(
        *(60_000, 10_000, 1, 10),
        embedded="all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository",
    ),
    "cifar10": DatasetFacts(50_000, 10_000, 3, 10),
    "cifar100": DatasetFacts(50_000, 10_000, 3, 100),
    "imagenet": DatasetFacts(1_281_167, 50_000, 3, 1000, torchvision=False),
    "shakespeare": DatasetFacts(
        *(1_003_854, 111_540, 0, 65),
        torchvision=False,
        embedded="plays of Shakespeare (public domain), in this repository",
        text=True,
    ),
}


@dataclass(frozen=True)
class Source:
    """Where data may come from."""

    origin: str  # how a report says it; of what is embedded, the data set says it
    names: tuple[str, ...] = ()  # known data sets that it has, whose sizes settings are checked against; empty: any
    # What the folder that `data.root` names does ("holds ..."); empty: no such folder is read. It must be there before
    # anything runs where there are no `names`.
    root: str = ""
    root_may_be_file: bool = False


# By what data.source says. data/sources.py has the case of each.
SOURCES = {
    "embedded": Source(
        "in this repository",
        tuple(name for name, facts in KNOWN_DATASETS.items() if facts.embedded),
    ),
    "torchvision": Source(
        "downloaded by torchvision",
        tuple(name for name, facts in KNOWN_DATASETS.items() if facts.torchvision),
        "takes downloads",
    ),
    "folder": Source(
        "a folder of image files that is not part of this repository",
        root="holds <split>/<class>/ folders of pictures",
    ),
    "text": Source(
        "text that is not part of this repository",
        root="holds .txt files, or a file of text",
        root_may_be_file=True,
    ),
}


def origin(source: str, name: str) -> str:
    """How a report says where data come from."""
    return KNOWN_DATASETS[name].embedded if source == "embedded" else SOURCES[source].origin
