"""Datasets in their authors' archives: downloaded on first use, checked, read in place without unpickling.

Fashion-MNIST's addresses and checksums are torchvision's, CIFAR's those of its authors' page ("binary
version"; torchvision reads the Python version, which is pickled). An archive is checked at each reading.

References
----------
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import check_integrity, download_url

from sidetrip.config import ConfigError, shown
from sidetrip.data.packed import Pictures


@dataclass(frozen=True)
class Cifar:
    """Archive of CIFAR pictures: records of label bytes (the last is the class) and 3 × 32 × 32 pixels."""

    url: str
    md5: str
    folder: str
    classes: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    label_bytes: int


CIFAR = {
    "cifar10": Cifar(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-batches-bin",
        "batches.meta.txt",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        label_bytes=1,
    ),
    "cifar100": Cifar(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary",
        "fine_label_names.txt",
        ("train.bin",),
        ("test.bin",),
        label_bytes=2,
    ),
}
IDX_PREFIX = {"train": "train", "validation": "t10k"}


def fetch_archives(name: str, root: Path) -> None:
    """Have the archives of a data set in `root`.

    Raises
    ------
    ConfigError
        As `read_archive`.
    """
    if name in CIFAR:
        fetch(CIFAR[name].url, CIFAR[name].md5, root)
    else:
        for split in IDX_PREFIX:
            fetch_idx(split, root)


def read_archive(name: str, split: str, root: Path) -> Pictures:
    """Read a split (train, validation) of fashion_mnist, cifar10 or cifar100, its archive in `root`.

    Raises
    ------
    ConfigError
        If an archive is not there and cannot be downloaded, or is not the original.
    """
    return read_cifar(CIFAR[name], split, root) if name in CIFAR else read_fashion_mnist(split, root)


def fetch(url: str, md5: str, folder: Path) -> Path:
    """The archive of a URL in a folder, downloaded if it is not there, with this checksum."""
    path = folder / url.rpartition("/")[2]
    try:
        download_url(url, str(folder), md5=md5)
    except (OSError, RuntimeError, ValueError) as error:
        state = "missing"
        if path.exists():
            state = "there" if check_integrity(path, md5) else "damaged (not the original's checksum)"
        raise ConfigError(
            f"{path}: {state}, and downloading {url} failed ({shown(error)}); put the original there by hand"
        ) from error
    return path


def read_cifar(cifar: Cifar, split: str, root: Path) -> Pictures:
    """Read a split of CIFAR-10 or CIFAR-100 from its archive."""
    with tarfile.open(fetch(cifar.url, cifar.md5, root)) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(f"{cifar.folder}/{name}")
            assert file is not None
            return file.read()

        raw = b"".join(member(name) for name in getattr(cifar, split))
        classes = tuple(member(cifar.classes).decode().split())
    records = np.frombuffer(raw, np.uint8).reshape(-1, cifar.label_bytes + 3 * 32 * 32)
    pictures = records[:, cifar.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Pictures(pictures, records[:, cifar.label_bytes - 1].astype(np.int64), classes)


def fetch_idx(split: str, root: Path) -> tuple[Path, Path]:
    """Archives of the pictures and labels of a split of Fashion-MNIST, which lie where torchvision keeps them."""
    md5, folder = dict(FashionMNIST.resources), root / "FashionMNIST" / "raw"
    names = [f"{IDX_PREFIX[split]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    pictures, labels = (fetch(FashionMNIST.mirrors[0] + name, md5[name], folder) for name in names)
    return pictures, labels


def read_fashion_mnist(split: str, root: Path) -> Pictures:
    """Read a split of Fashion-MNIST from its IDX archives."""
    pictures, labels = (read_idx(gzip.decompress(path.read_bytes())) for path in fetch_idx(split, root))
    return Pictures(pictures[..., None], labels.astype(np.int64), tuple(FashionMNIST.classes))


def read_idx(raw: bytes) -> np.ndarray:
    """Array of an IDX file of unsigned bytes."""
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(tuple(map(int, shape)))
