"""Where data come from: embedded, torchvision's named datasets, folders of picture files, text; in parts to pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sidetrip.config import ConfigError, Data, shown
from sidetrip.config.known import KNOWN_DATASETS
from sidetrip.data.account import LeftOut, Odd
from sidetrip.data.corpus import find_text
from sidetrip.data.embedded import fashion_mnist
from sidetrip.data.folders import data_root, find_shards
from sidetrip.data.packed import (
    NO_DEVIATION,
    SPLITS,
    Facts,
    Pictures,
    gather_facts,
    save_shard,
    shard_path,
    write_facts,
)
from sidetrip.data.text import facts_of_text


class Part(Protocol):
    """What one unit of work packs."""

    @property
    def name(self) -> str:
        """Tells it from other parts, and from the same part of other files."""

    def __len__(self) -> int:
        """About how many pictures, or bytes of text."""

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """Write what it holds into `folder`, unless some pictures cannot be read; return what is odd or unreadable."""


@dataclass(frozen=True)
class Named:
    """A data set of a well-known name, which is small: all of it is one part, one shard a split."""

    name: str
    read: Callable[[Data, str], Pictures]

    def __len__(self) -> int:
        known = KNOWN_DATASETS[self.name]
        return known.training_pictures + known.validation_pictures

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """See `Part`."""
        for split in SPLITS:
            pictures = self.read(data, split)
            save_shard(pictures, shard_path(folder, split, 0))
            progress(len(pictures))
        return {}


Listing = tuple[Sequence[Part], list[LeftOut]]  # the parts to pack, in order, and what lies beside them


def find(data: Data) -> Listing:
    """The parts of the data to pack, in order, and what lies beside them and is left out."""
    return FINDERS[data.source](data)


FINDERS: dict[str, Callable[[Data], Listing]] = {
    "embedded": lambda data: find_text(data) if data.is_text else ([Named(data.name, fashion_mnist)], []),
    "torchvision": lambda data: ([Named(data.name, downloaded)], []),
    "folder": find_shards,
    "text": find_text,
}


def facts_of(data: Data, folders: Sequence[Path]) -> Facts:
    """The facts of what is packed in folders, those of all parts.

    Raises
    ------
    ConfigError
        If all training pictures are one plain colour, as drawings in black on a transparent ground come out.
    """
    if data.is_text:
        return facts_of_text(*folders)
    facts = gather_facts(folders)
    if set(facts.deviation) == {NO_DEVIATION}:
        raise ConfigError(
            f"data.source = {data.source}: all {facts.train_samples} training pictures are the same plain colour; use "
            "others, there is nothing to learn from these"
        )
    return facts


def pack(data: Data, folder: Path) -> None:
    """Pack all parts of the data into one folder, in this process, and write their facts."""
    for part in find(data)[0]:
        part.pack(data, folder, lambda amount: None)
    write_facts(facts_of(data, [folder]), folder)


def downloaded(data: Data, split: str) -> Pictures:
    """One of torchvision's named datasets, downloaded into `data.root` on first use, scaled.

    torchvision checks what it downloads, and CIFAR's pickled files at each reading before it opens them.

    Raises
    ------
    ConfigError
        If the files are not there and cannot be downloaded, or are not the originals.
    """
    import torch  # which other sources do without
    from torchvision import datasets
    from torchvision.transforms.functional import resize

    of_name = {"fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
    root, kind = data_root(data), of_name[data.name]
    try:
        found = kind(root, train=split == SPLITS[0], download=True)
    except (OSError, RuntimeError, ValueError) as error:
        inside, url = ("/FashionMNIST/raw", kind.mirrors[0]) if kind is datasets.FashionMNIST else ("", kind.url)
        raise ConfigError(
            f"data.root = {data.root}: torchvision finds no whole {kind.__name__} there and cannot download it "
            f"({shown(error)}); connect to the network, or put what {url} holds into {data.root}{inside} by hand"
        ) from error
    pixels = np.asarray(found.data)
    planes = torch.from_numpy(np.ascontiguousarray(pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)))
    parts = [resize(part, [data.packed_side] * 2, antialias=True) for part in planes.split(2048)]
    pixels = torch.cat(parts).permute(0, 2, 3, 1).numpy()
    return Pictures(pixels, np.asarray(found.targets, np.int64), tuple(found.classes))
