"""Pictures in folders: <root>/<split>/<class>/*.{png,jpg,jpeg}."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sidetrip.config import ConfigError, Data
from sidetrip.data.packed import PICTURES_A_SHARD, SPLITS, Pictures, save_shard, shard_path

SUFFIXES = (".png", ".jpg", ".jpeg")
NAMED = 5  # how many files or classes a message names
REPORTED_AT_ONCE = 50  # pictures
CHANNELS = 3


@dataclass(frozen=True)
class Split:
    """The picture files of a split.

    Attributes
    ----------
    name : str
        "train" or "validation".
    key, folder : str
        The setting that names the split's folder, and what it says.
    where : Path
        That folder.
    classes : tuple of str
        In alphabetical order.
    files : list of str
        "<class>/<...>", relative to `where`, class by class.
    """

    name: str
    key: str
    folder: str
    where: Path
    classes: tuple[str, ...]
    files: list[str]


@dataclass(frozen=True)
class ShardFiles:
    """Consecutive files of a split, which become one shard.

    Every picture becomes its central square, scaled, in RGB as a viewer shows it: turned as its EXIF orientation
    says, grey and palette pictures expanded, 16 bits reduced to the upper 8, transparent parts on black, which is
    also what moves in at the edges in training.

    Attributes
    ----------
    split : str
        "train" or "validation".
    shard : int
        Its number.
    where : Path
        The split's folder.
    classes : tuple of str
        All that the split has.
    files : tuple of str
        Relative to `where`; the first part of each is its class.
    state : str
        Digest of the files' names, sizes and times.
    """

    split: str
    shard: int
    where: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    state: str

    channels = CHANNELS

    @property
    def number_of_classes(self) -> int:
        """Of the whole split."""
        return len(self.classes)

    @property
    def name(self) -> str:
        """Tells it from every other one of every other state of the folder."""
        return f"{self.split}_{self.shard:05d}_{self.state}"

    @property
    def first(self) -> bool:
        """Whether it begins the training split."""
        return (self.split, self.shard) == (SPLITS[0], 0)

    def __len__(self) -> int:
        return len(self.files)

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> list[Path]:
        """Write the shard into `folder`, unless some pictures cannot be read: those are returned."""
        side, unreadable = data.packed_side, []
        pixels = np.empty((len(self), side, side, CHANNELS), np.uint8)
        for i, file in enumerate(self.files, start=1):
            if (decoded := decode(self.where / file, side)) is None:
                unreadable.append(self.where / file)
            else:
                pixels[i - 1] = decoded
            if i % REPORTED_AT_ONCE == 0 or i == len(self):
                progress((i - 1) % REPORTED_AT_ONCE + 1)
        if not unreadable:
            number = {name: label for label, name in enumerate(self.classes)}
            labels = np.array([number[file.partition(os.sep)[0]] for file in self.files])
            save_shard(Pictures(pixels, labels, self.classes), shard_path(folder, self.split, self.shard))
        return unreadable


def find_splits(data: Data) -> list[Split]:
    """List the files of both splits. Hidden files and folders are left out.

    Raises
    ------
    ConfigError
        If a folder or a class is missing, or the splits do not fit together.
    """
    root, folders = Path(data.root), (data.train_split, data.validation_split)
    keys = ("data.train_split", "data.validation_split")
    splits = [_find(root, *named) for named in zip(SPLITS, keys, folders, strict=True)]
    _check_same_classes(splits, data.root)
    return splits


def shard_files(split: Split) -> list[ShardFiles]:
    """A split cut into consecutive files, one shard each, the last with the rest."""
    return [
        ShardFiles(split.name, shard, split.where, split.classes, files, _state(split.where, files))
        for shard, start in enumerate(range(0, len(split.files), PICTURES_A_SHARD))
        if (files := tuple(split.files[start : start + PICTURES_A_SHARD]))
    ]


def check_folder(root: Path) -> None:
    """Refuse a `data.root` that is no folder."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"data.root = {root}: a file; name the folder that holds <split>/<class>/ folders")
    if not root.exists():
        raise ConfigError(f"data.root = {root}: no such folder; put <split>/<class>/ folders of pictures there")


def check_readable(split: Split, unreadable: Sequence[str]) -> None:
    """Refuse a split with pictures that cannot be read."""
    if unreadable:
        raise ConfigError(
            f"{split.key} = {split.folder}: {len(unreadable)} of {len(split.files)} pictures cannot be read "
            f"({_listed(unreadable)}); mend or remove them"
        )


def _find(root: Path, name: str, key: str, folder: str) -> Split:
    where = root / folder
    check_folder(root)
    if not where.is_dir():
        there = _listed(_folders(root)) or "no folder"
        raise ConfigError(f"{key} = {folder}: no folder {where}; there is {there} in {root}")
    classes = _folders(where)
    if len(classes) < 2:
        held = f" ({classes[0]})" if classes else ""
        raise ConfigError(f"{key} = {folder}: {where} holds {len(classes)} class folders{held}; it needs at least 2")
    found = [_pictures(where, name) for name in classes]
    if empty := [name for name, files in zip(classes, found, strict=True) if not files]:
        raise ConfigError(
            f"{key} = {folder}: {len(empty)} of {len(classes)} classes in {where} hold no {', '.join(SUFFIXES)} file "
            f"({_listed(empty)}); fill or remove them"
        )
    return Split(name, key, folder, where, tuple(classes), [file for files in found for file in files])


def _check_same_classes(splits: Sequence[Split], root: str) -> None:
    train, validation = splits
    odd = [
        f"{_listed(only)} only in {mine.folder}"
        for mine, other in ((train, validation), (validation, train))
        if (only := sorted(set(mine.classes) - set(other.classes)))
    ]
    if odd:
        raise ConfigError(f"data.root = {root}: the splits' classes differ: {'; '.join(odd)}; make them equal")


def _folders(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(where: Path, name: str) -> list[str]:
    """Files of a class, relative to the split's folder. Texts, not paths: there may be a million of them."""
    found = []
    for folder, folders, files in os.walk(where / name):
        folders[:] = [inner for inner in folders if not inner.startswith(".")]
        taken = (file for file in files if not file.startswith(".") and file.lower().endswith(SUFFIXES))
        found += [os.path.relpath(os.path.join(folder, file), where) for file in taken]
    return sorted(found, key=lambda file: file.split(os.sep))


def _state(where: Path, files: Sequence[str]) -> str:
    """Digest of the names, sizes and times of files: a picture that was changed is packed again."""
    state = hashlib.sha256()
    for file in files:
        try:
            status = os.stat(where / file)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # a dangling link, say, which will be named as unreadable
            stamp = "unreadable"
        state.update(os.fsencode(file) + f"\0{stamp}\n".encode())
    return state.hexdigest()[:16]


def _listed(names: Sequence[object]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more


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
