"""Where pictures come from: embedded, torchvision's named datasets, folders of picture files; in parts to pack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from sidetrip.config import ConfigError, Data
from sidetrip.config.known import KNOWN_DATASETS
from sidetrip.data.folders import Split, Unreadable, data_root, find_splits, shard_files
from sidetrip.data.packed import SPLITS, Pictures, save_shard, shard_path
from sidetrip.files import FileError, read_bytes

EMBEDDED = Path("datasets/fashion_mnist_14")
EMBEDDED_SIZE = 14
FASHION_MNIST = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class Part(Protocol):
    """What one unit of work packs."""

    @property
    def name(self) -> str:
        """Tells it from other parts, and from the same part of other files."""
        ...

    @property
    def channels(self) -> int:
        """Of every picture."""
        ...

    @property
    def number_of_classes(self) -> int:
        """Of the whole data set."""
        ...

    @property
    def first(self) -> bool:
        """Whether it is the first of all."""
        ...

    def __len__(self) -> int:
        """About how many pictures."""
        ...

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> list[Unreadable]:
        """Write its shards into `folder`, unless some pictures cannot be read: those are returned."""
        ...


@dataclass(frozen=True)
class Named:
    """A data set of a well-known name, which is small: all of it is one part, one shard a split."""

    name: str
    channels: int
    number_of_classes: int
    pictures: int
    read: Callable[[Data, str], Pictures]

    first = True

    def __len__(self) -> int:
        return self.pictures

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> list[Unreadable]:
        """See `Part`."""
        for split, title in zip(SPLITS, ("training", "validation"), strict=True):
            pictures = self.read(data, split)
            check_labels(pictures, f"{data.name}, {title} split")
            save_shard(pictures, shard_path(folder, split, 0))
            progress(len(pictures))
        return []


def find(data: Data) -> tuple[list[Part], list[Split]]:
    """The parts of the data to pack, in order; for a folder its splits, too.

    Raises
    ------
    ConfigError
        If files are missing or do not fit together, as far as a listing can tell.
    """
    if data.source == "embedded":
        return [_named(data.name, embedded)], []
    if data.source == "torchvision":
        from sidetrip.data.archives import fetch_archives  # loads torch

        fetch_archives(data.name, data_root(data))
        return [_named(data.name, downloaded)], []
    splits = find_splits(data)
    return [files for split in splits for files in shard_files(split)], splits


def _named(name: str, read: Callable[[Data, str], Pictures]) -> Named:
    known = KNOWN_DATASETS[name]
    pictures = known.training_pictures + known.validation_pictures
    return Named(name, known.channels, known.classes, pictures, read)


def embedded(data: Data, split: str) -> Pictures:
    """Fashion-MNIST at 14 × 14: a PNG sheet of pictures and one of labels, 250 pictures a row."""
    pixels, labels = _sheet(f"{split}_pictures.png"), _sheet(f"{split}_labels.png").reshape(-1)
    rows, columns = pixels.shape[0] // EMBEDDED_SIZE, pixels.shape[1] // EMBEDDED_SIZE
    if pixels.shape != (rows * EMBEDDED_SIZE, columns * EMBEDDED_SIZE) or rows * columns != len(labels):
        raise ConfigError(
            f"{EMBEDDED}: {split}_pictures.png of {pixels.shape[1]} × {pixels.shape[0]} pixels does not hold "
            f"{len(labels)} pictures; {_restore()}"
        )
    pictures = pixels.reshape(rows, EMBEDDED_SIZE, columns, EMBEDDED_SIZE).transpose(0, 2, 1, 3)
    pictures = pictures.reshape(-1, EMBEDDED_SIZE, EMBEDDED_SIZE, 1)
    return Pictures(pictures, labels.astype(np.int64), FASHION_MNIST)


def _sheet(name: str) -> np.ndarray:
    path = EMBEDDED / name
    try:
        with Image.open(BytesIO(read_bytes(path))) as file:
            return np.asarray(file.convert("L"))
    except FileError as error:
        state = "damaged" if path.is_file() else "missing"
        raise ConfigError(f"{path}: {state}; {_restore()}") from error


def _restore() -> str:
    return f"restore it with `git checkout {EMBEDDED}`"


def downloaded(data: Data, split: str) -> Pictures:
    """One of torchvision's named datasets, from its authors' archive in `data.root`, scaled."""
    from sidetrip.data import archives

    original = archives.read_archive(data.name, split, data_root(data))
    return Pictures(resized(original.pictures, data.packed_side), original.labels, original.classes)


def resized(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures uint8 [n, h, w, c] at [n, side, side, c], antialiased."""
    if pictures.shape[1:3] == (side, side):
        return pictures
    import torch
    from torchvision.transforms.functional import resize

    planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    parts = [resize(part, [side, side], antialias=True) for part in planes.split(2048)]
    return torch.cat(parts).permute(0, 2, 3, 1).numpy()


def check_labels(split: Pictures, title: str) -> None:
    """Refuse labels that name no class."""
    classes = len(split.classes)
    wrong = int(((split.labels < 0) | (split.labels >= classes)).sum())
    if wrong:
        raise ConfigError(
            f"{title}: {wrong} of {len(split)} labels are outside 0 to {classes - 1}; mend or restore its files"
        )
