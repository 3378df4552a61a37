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
from sidetrip.data.packed import SPLITS, Pictures, save_shard, shard_path


class Part(Protocol):
    """What one unit of work packs."""

    @property
    def name(self) -> str:
        """Tells it from other parts, and from the same part of other files."""
        ...

    def __len__(self) -> int:
        """About how many pictures, or bytes of text."""
        ...

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """Write what it holds into `folder`, unless some pictures cannot be read; return what is odd or unreadable."""
        ...


@dataclass(frozen=True)
class Named:
    """A data set of a well-known name, which is small: all of it is one part, one shard a split."""

    name: str
    pictures: int
    read: Callable[[Data, str], Pictures]

    def __len__(self) -> int:
        return self.pictures

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """See `Part`."""
        for split in SPLITS:
            pictures = self.read(data, split)
            save_shard(pictures, shard_path(folder, split, 0))
            progress(len(pictures))
        return {}


Listing = tuple[Sequence[Part], list[LeftOut]]  # the parts to pack, in order, and what lies beside them


def find(data: Data) -> Listing:
    """The parts of the data to pack, in order, and what lies beside them and is left out.

    Raises
    ------
    ConfigError
        If files are missing or do not fit together, as far as a listing can tell.
    """
    return FINDERS[data.source](data)


def _find_embedded(data: Data) -> Listing:
    return find_text(data) if KNOWN_DATASETS[data.name].text else _named(data, fashion_mnist)


def _find_in_torchvision(data: Data) -> Listing:
    return _named(data, downloaded)


def _named(data: Data, read: Callable[[Data, str], Pictures]) -> Listing:
    known = KNOWN_DATASETS[data.name]
    return [Named(data.name, known.training_pictures + known.validation_pictures, read)], []


FINDERS: dict[str, Callable[[Data], Listing]] = {
    "embedded": _find_embedded,
    "torchvision": _find_in_torchvision,
    "folder": find_shards,
    "text": find_text,
}


def downloaded(data: Data, split: str) -> Pictures:
    """One of torchvision's named datasets, downloaded into `data.root` on first use, scaled.

    torchvision checks what it downloads, and CIFAR's pickled files at each reading before it opens them.

    Raises
    ------
    ConfigError
        If the files are not there and cannot be downloaded, or are not the originals.
    """
    from torchvision import datasets  # loads torch, which other sources do without

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
    pixels = resized(pixels.reshape(*pixels.shape[:3], -1), data.packed_side)
    return Pictures(pixels, np.asarray(found.targets, np.int64), tuple(found.classes))


def resized(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures uint8 [n, h, w, c] at [n, side, side, c], antialiased."""
    if pictures.shape[1:3] == (side, side):
        return pictures
    import torch
    from torchvision.transforms.functional import resize

    planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    parts = [resize(part, [side, side], antialias=True) for part in planes.split(2048)]
    return torch.cat(parts).permute(0, 2, 3, 1).numpy()
