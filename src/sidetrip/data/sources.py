"""Where pictures come from: embedded, torchvision's downloads, folders of picture files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sidetrip.config import Config, ConfigError, Data
from sidetrip.data.packed import Pictures

EMBEDDED = Path("datasets/fashion_mnist_14")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SUFFIXES = (".png", ".jpg", ".jpeg")
NAMED = 5  # how many unreadable files a message names
TORCHVISION = {
    "fashion_mnist": torchvision.datasets.FashionMNIST,
    "cifar10": torchvision.datasets.CIFAR10,
    "cifar100": torchvision.datasets.CIFAR100,
}


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
        train, validation = downloaded(data, train=True), downloaded(data, train=False)
    else:
        train, validation = folder(data, data.train_split), folder(data, data.validation_split)
    if train.classes != validation.classes:
        odd = sorted(set(train.classes) ^ set(validation.classes))
        raise ConfigError(
            f"data.root = {data.root}: the splits' classes differ ({', '.join(odd[:NAMED])}); make them equal"
        )
    return train, validation


def embedded(split: str) -> Pictures:
    """Fashion-MNIST at 14 × 14: a PNG sheet of pictures and one of labels, 250 pictures a row."""
    pixels = np.asarray(Image.open(EMBEDDED / f"{split}_pictures.png"))
    labels = np.asarray(Image.open(EMBEDDED / f"{split}_labels.png")).reshape(-1).astype(np.int64)
    rows, columns = pixels.shape[0] // 14, pixels.shape[1] // 14
    pictures = pixels.reshape(rows, 14, columns, 14).transpose(0, 2, 1, 3).reshape(-1, 1, 14, 14)
    return Pictures(torch.from_numpy(pictures.copy()), torch.from_numpy(labels), FASHION_CLASSES)


def downloaded(data: Data, train: bool) -> Pictures:
    """A dataset that torchvision downloads on first use (checksums verified by torchvision)."""
    kind = TORCHVISION[data.name]
    try:
        dataset = kind(data.root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        where = f"{data.root}/FashionMNIST/raw" if data.name == "fashion_mnist" else data.root
        raise ConfigError(
            f"data.name = {data.name}: download failed ({str(error).splitlines()[0]}); put the original "
            f"archives into {where} by hand"
        ) from error
    pixels = torch.as_tensor(np.asarray(dataset.data))
    pictures = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    labels = torch.as_tensor(np.asarray(dataset.targets), dtype=torch.int64)
    return Pictures(resized(pictures, data.size), labels, tuple(dataset.classes))


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures uint8 [n, c, h, w] at [n, c, size, size], antialiased."""
    if pictures.shape[-2:] == (size, size):
        return pictures.contiguous()
    parts = [
        torchvision.transforms.functional.resize(part, [size, size], antialias=True) for part in pictures.split(2048)
    ]
    return torch.cat(parts)


def folder(data: Data, split: str) -> Pictures:
    """Pictures in <root>/<split>/<class>/*.{png,jpg,jpeg}; classes are numbered in alphabetical order."""
    where = Path(data.root) / split
    if not where.is_dir():
        raise ConfigError(f"data.root = {data.root}: no folder {where}; put the pictures into {where}/<class>/")
    classes = sorted(path.name for path in where.iterdir() if path.is_dir())
    if len(classes) < 2:
        raise ConfigError(f"data.root = {data.root}: {where} holds {len(classes)} class folder(s); it needs at least 2")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(path for path in (where / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise ConfigError(
                f"data.root = {data.root}: {where / name} holds no {', '.join(SUFFIXES)} file; fill or remove it"
            )
        files += found
        labels += [label] * len(found)
    # Pillow decodes outside the interpreter lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        decoded = list(
            tqdm(
                pool.map(lambda path: _decode(path, data.size), files),
                total=len(files),
                desc=f"decode {split}",
                unit="picture",
                mininterval=1,
            )
        )
    _refuse_unreadable(files, decoded, data.root)
    pictures = torch.from_numpy(np.stack([pixels for pixels in decoded if pixels is not None]))
    return Pictures(pictures.permute(0, 3, 1, 2).contiguous(), torch.tensor(labels), tuple(classes))


def _refuse_unreadable(files: list[Path], decoded: list[np.ndarray | None], root: str) -> None:
    bad = [path for path, pixels in zip(files, decoded, strict=True) if pixels is None]
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise ConfigError(
            f"data.root = {root}: {len(bad)} unreadable picture(s): "
            f"{', '.join(map(str, bad[:NAMED]))}{more}; mend or remove them"
        )


def _decode(path: Path, size: int) -> np.ndarray | None:
    """Pixels uint8 [size, size, 3] of the central square, or None if the file cannot be read."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    if picture.size != (size, size):
        picture = picture.resize(
            (size, size),
            Image.Resampling.BOX if side % size == 0 else Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
            reducing_gap=3.0,
        )
    return np.asarray(picture)
