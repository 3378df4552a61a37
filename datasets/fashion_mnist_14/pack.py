"""Pack Fashion-MNIST's original IDX files into the 14 × 14 sheets beside this script.

    python datasets/fashion_mnist_14/pack.py FOLDER

FOLDER holds the four .gz files of https://github.com/zalandoresearch/fashion-mnist (Debian's package
`dataset-fashion-mnist` puts them into /usr/share/datasets/fashion-mnist). Every 2 × 2 block of pixels
becomes its mean, rounded half up.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sidetrip.files import seal

COLUMNS = 250  # pictures in a row of a sheet
SPLITS = {"train": "train", "validation": "t10k"}


def read_idx(path: Path) -> np.ndarray:
    """Array of an IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(tuple(map(int, shape)))


def pack(source: Path, target: Path) -> None:
    """Write the picture and label sheets of both splits."""
    for split, prefix in SPLITS.items():
        pictures = read_idx(source / f"{prefix}-images-idx3-ubyte.gz").astype(np.uint16)
        labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        n = len(pictures)
        means = ((pictures.reshape(n, 14, 2, 14, 2).sum(axis=(2, 4)) + 2) // 4).astype(np.uint8)
        sheet = means.reshape(n // COLUMNS, COLUMNS, 14, 14).transpose(0, 2, 1, 3).reshape(-1, COLUMNS * 14)
        Image.fromarray(sheet).save(target / f"{split}_pictures.png", optimize=True)
        Image.fromarray(labels.reshape(-1, COLUMNS)).save(target / f"{split}_labels.png", optimize=True)
    seal(target, target.glob("*.png"))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(__file__).parent)
