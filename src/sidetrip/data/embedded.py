"""The data that are in this repository, each in a sealed folder of datasets/ beside the script that packed it."""

from __future__ import annotations

import lzma
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from sidetrip.config import ConfigError, Data
from sidetrip.data.packed import Pictures
from sidetrip.files import FileError, read_bytes

FASHION_MNIST = Path("datasets/fashion_mnist_14")
SIDE = 14  # of its pictures
SHAKESPEARE = Path("datasets/shakespeare/shakespeare.txt.xz")
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def fashion_mnist(data: Data, split: str) -> Pictures:
    """Fashion-MNIST at 14 × 14: a PNG sheet of pictures and one of labels, 250 pictures a row."""
    sheet, labels = _sheet(f"{split}_pictures.png"), _sheet(f"{split}_labels.png").reshape(-1)
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    pictures = sheet.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE, 1)
    return Pictures(pictures, labels.astype(np.int64), CLASSES)


def shakespeare() -> bytes:
    """The plays of Shakespeare, in ASCII."""
    return lzma.decompress(_content(SHAKESPEARE))


def _sheet(name: str) -> np.ndarray:
    with Image.open(BytesIO(_content(FASHION_MNIST / name))) as file:
        return np.asarray(file.convert("L"))


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileError as error:
        state = "damaged" if path.is_file() else "missing"
        raise ConfigError(f"{path}: {state}; restore it with `git checkout {path.parent}`") from error
