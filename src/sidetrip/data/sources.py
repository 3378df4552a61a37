"""Where pictures come from: embedded, torchvision's named datasets, folders of picture files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor

from sidetrip.config import Config, ConfigError, Data
from sidetrip.data.archives import read_archive
from sidetrip.data.folders import check_same_classes, read_folder
from sidetrip.data.packed import Pictures
from sidetrip.files import FileError, read_bytes

EMBEDDED = Path("datasets/fashion_mnist_14")
EMBEDDED_SIZE = 14


def load_source(config: Config) -> tuple[Pictures, Pictures]:
    """Training and validation pictures of a configuration.

    Raises
    ------
    ConfigError
        If files are missing, unreadable or do not fit together.
    """
    data = config.data
    if data.source == "embedded":
        train, validation = embedded("train"), embedded("validation")
    elif data.source == "torchvision":
        train, validation = downloaded(data, "train"), downloaded(data, "validation")
    else:
        root, splits = Path(data.root), (data.train_split, data.validation_split)
        train = read_folder(root, splits[0], "data.train_split", data.size)
        validation = read_folder(root, splits[1], "data.validation_split", data.size)
        check_same_classes(train, validation, data.root, splits)
    check_labels(train, f"{data.name}, training split")
    check_labels(validation, f"{data.name}, validation split")
    return train, validation


def embedded(split: str) -> Pictures:
    """Fashion-MNIST at 14 × 14: a PNG sheet of pictures and one of labels, 250 pictures a row."""
    pixels, labels = _sheet(f"{split}_pictures.png"), _sheet(f"{split}_labels.png").reshape(-1)
    rows, columns = pixels.shape[0] // EMBEDDED_SIZE, pixels.shape[1] // EMBEDDED_SIZE
    if pixels.shape != (rows * EMBEDDED_SIZE, columns * EMBEDDED_SIZE) or rows * columns != len(labels):
        raise ConfigError(
            f"{EMBEDDED}: {split}_pictures.png of {pixels.shape[1]} × {pixels.shape[0]} pixels does not hold "
            f"{len(labels)} pictures; {_restore()}"
        )
    pictures = pixels.reshape(rows, EMBEDDED_SIZE, columns, EMBEDDED_SIZE).transpose(0, 2, 1, 3)
    pictures = pictures.reshape(-1, 1, EMBEDDED_SIZE, EMBEDDED_SIZE).copy()
    return Pictures(
        torch.from_numpy(pictures),
        torch.from_numpy(labels.astype(np.int64)),
        tuple(torchvision.datasets.FashionMNIST.classes),
    )


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
    """One of torchvision's named datasets, from its authors' archive in `data.root`, scaled to `data.size`."""
    original = read_archive(data.name, split, Path(data.root))
    return Pictures(resized(original.pictures, data.size), original.labels, original.classes)


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures uint8 [n, c, h, w] at [n, c, size, size], antialiased."""
    if pictures.shape[-2:] == (size, size):
        return pictures.contiguous()
    parts = [
        torchvision.transforms.functional.resize(part, [size, size], antialias=True) for part in pictures.split(2048)
    ]
    return torch.cat(parts)


def check_labels(split: Pictures, title: str) -> None:
    """Refuse labels that name no class."""
    classes = len(split.classes)
    wrong = int(((split.labels < 0) | (split.labels >= classes)).sum())
    if wrong:
        raise ConfigError(
            f"{title}: {wrong} of {len(split)} labels are outside 0 to {classes - 1}; restore the original files"
        )
