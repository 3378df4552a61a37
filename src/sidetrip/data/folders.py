"""Pictures in folders: <root>/<split>/<class>/*.{png,jpg,jpeg}."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from sidetrip.config import ConfigError
from sidetrip.data.packed import Pictures

SUFFIXES = (".png", ".jpg", ".jpeg")
NAMED = 5  # how many files or classes a message names


def read_folder(root: Path, split: str, key: str, size: int) -> Pictures:
    """Read a split; classes are numbered in alphabetical order. Hidden files and folders are left out.

    Every picture becomes its central square, scaled to `size`, in RGB as a viewer shows it: turned as its
    EXIF orientation says, grey and palette pictures expanded, 16 bits reduced to the upper 8, transparent
    parts on black, which is also what moves in at the edges in training.

    Parameters
    ----------
    root, split
        The folder that holds the split, and the split's name.
    key : str
        The setting that names the split.
    size : int
        Side of the pictures in pixels.

    Raises
    ------
    ConfigError
        If the folder, a class or a picture is missing or cannot be read.
    """
    where = root / split
    check_folder(root)
    if not where.is_dir():
        there = _listed(_folders(root)) or "no folder"
        raise ConfigError(f"{key} = {split}: no folder {where}; there is {there} in {root}")
    classes = _folders(where)
    if len(classes) < 2:
        held = f" ({classes[0]})" if classes else ""
        raise ConfigError(f"{key} = {split}: {where} holds {len(classes)} class folders{held}; it needs at least 2")
    found = [_pictures(where / name) for name in classes]
    if empty := [name for name, files in zip(classes, found, strict=True) if not files]:
        raise ConfigError(
            f"{key} = {split}: {len(empty)} of {len(classes)} classes in {where} hold no {', '.join(SUFFIXES)} file "
            f"({_listed(empty)}); fill or remove them"
        )
    pictures = _decode_all([file for files in found for file in files], size, key, split)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in found])
    return Pictures(torch.from_numpy(pictures), torch.from_numpy(labels), tuple(classes))


def check_folder(root: Path) -> None:
    """Refuse a `data.root` that is no folder."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"data.root = {root}: a file; name the folder that holds <split>/<class>/ folders")
    if not root.exists():
        raise ConfigError(f"data.root = {root}: no such folder; put <split>/<class>/ folders of pictures there")


def check_same_classes(train: Pictures, validation: Pictures, root: str, splits: tuple[str, str]) -> None:
    """Refuse splits whose classes differ."""
    names = set(train.classes), set(validation.classes)
    odd = [
        f"{_listed(sorted(mine - other))} only in {split}"
        for mine, other, split in ((names[0], names[1], splits[0]), (names[1], names[0], splits[1]))
        if mine - other
    ]
    if odd:
        raise ConfigError(f"data.root = {root}: the splits' classes differ: {'; '.join(odd)}; make them equal")


def _folders(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(where: Path) -> list[Path]:
    files = (path for path in where.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(where).parts))


def _listed(names: Sequence[object]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more


def _decode_all(files: list[Path], size: int, key: str, split: str) -> np.ndarray:
    """Pixels uint8 [n, 3, size, size] of all files."""
    # Pillow decodes outside the interpreter lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        decoding = pool.map(lambda path: decode(path, size), files)
        decoded = list(tqdm(decoding, total=len(files), desc=f"decode {split}", unit="picture", mininterval=1))
    if bad := [path for path, pixels in zip(files, decoded, strict=True) if pixels is None]:
        raise ConfigError(
            f"{key} = {split}: {len(bad)} of {len(files)} pictures cannot be read ({_listed(bad)}); mend or remove them"
        )
    return np.stack([pixels for pixels in decoded if pixels is not None]).transpose(0, 3, 1, 2).copy()


def decode(path: Path, size: int) -> np.ndarray | None:
    """Pixels uint8 [size, size, 3] of the central square, or None if the file cannot be read."""
    try:
        with Image.open(path) as file:
            picture = _to_rgb(ImageOps.exif_transpose(file))
    except Exception:  # on damaged files Pillow raises whatever its decoders happen to meet
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


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # Pillow's own conversion would clip 16 bits instead of scaling them
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
    return picture.convert("RGB")
