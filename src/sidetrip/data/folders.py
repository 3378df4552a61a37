"""Pictures in folders: <root>/<split>/<class>/, links followed; and an account of what else lies there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sidetrip.config import ConfigError, Data
from sidetrip.config.known import SOURCES
from sidetrip.config.paths import as_path, found_path
from sidetrip.data import account
from sidetrip.data.account import LeftOut, Odd, is_hidden, listed
from sidetrip.data.decoding import CHANNELS, UnreadableError, decode
from sidetrip.data.packed import PICTURES_A_SHARD, SPLITS, Pictures, save_shard, shard_path

# As torchvision's ImageFolder, and some more names of the same formats; of several pictures in one file, the first.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)


@dataclass(frozen=True)
class ShardFiles:
    """Consecutive files of a split, which become one shard."""

    split: str  # "train" or "validation"
    shard: int  # its number
    where: Path  # the split's folder
    classes: tuple[str, ...]  # all that the split has
    files: tuple[str, ...]  # relative to `where`; the first part of each is its class

    @property
    def name(self) -> str:
        """Tells it from every other one of every other state of the folder."""
        return f"{self.split}_{self.shard:05d}_{state_of(self.where, self.files)}"

    def __len__(self) -> int:
        return len(self.files)

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """Write the shard into `folder`, unless some pictures cannot be read; see `Part`."""
        side, unreadable, remarks = data.packed_side, [], []
        pixels = np.empty((len(self), side, side, CHANNELS), np.uint8)
        for i, file in enumerate(self.files):
            path = self.where / file
            try:
                pixels[i], remark = decode(path, side)
                remarks += [(path, remark)] if remark else []
            except UnreadableError as error:
                unreadable.append((path, str(error)))
            progress(1)
        if unreadable:
            return {account.UNREADABLE: unreadable}
        number = {name: label for label, name in enumerate(self.classes)}
        labels = np.array([number[file.partition(os.sep)[0]] for file in self.files])
        pictures = Pictures(pixels, labels, self.classes)
        save_shard(pictures, shard_path(folder, self.split, self.shard))
        return {account.REMARKS: remarks} if remarks else {}


def find_shards(data: Data) -> tuple[list[ShardFiles], list[LeftOut]]:
    """The files of both splits, at most PICTURES_A_SHARD together, and what is left out.

    Raises
    ------
    ConfigError
        If a folder or a class is missing, or the splits do not fit together.
    """
    check_root(data)
    root = data_root(data)
    train = _split(root, "data.train_split", data.train_split)
    validation = _split(root, "data.validation_split", data.validation_split)
    if os.path.samefile(train.where, validation.where):
        raise ConfigError(
            f"data.validation_split = {data.validation_split}: the same folder as data.train_split; name another one"
        )
    odd = []
    for mine, other in ((train, validation), (validation, train)):
        if only := [name for name in mine.classes if name not in set(other.classes)]:
            odd.append(f"{listed(only)} only in {mine.folder}")
    if odd:
        raise ConfigError(f"data.root = {data.root}: the splits' classes differ: {'; '.join(odd)}; make them equal")
    shards = []
    for name, split in zip(SPLITS, (train, validation), strict=True):
        found = _files(split)  # which takes long, after all that can be said of the classes alone
        for shard, start in enumerate(range(0, len(found), PICTURES_A_SHARD)):
            files = tuple(found[start : start + PICTURES_A_SHARD])
            shards.append(ShardFiles(name, shard, split.where, split.classes, files))
    return shards, sorted(train.left_out) + sorted(validation.left_out)


def data_root(data: Data) -> Path:
    """The folder that `data.root` names."""
    return found_path(data.root, data.train_split if data.source == "folder" else "")


def check_root(data: Data) -> None:
    """Refuse a `data.root` that is no such folder as its source needs."""
    root, source = data_root(data), SOURCES[data.source]
    try:
        there = root.exists()
    except OSError as error:
        raise ConfigError(f"data.root = {data.root}: {root} cannot be looked for ({error.strerror})") from error
    if there and not root.is_dir() and not source.root_may_be_file:
        raise ConfigError(f"data.root = {data.root}: a file; name the folder that {source.root}")
    if not source.names and not there:
        where = "" if str(root) == data.root else f" ({root})"
        raise ConfigError(f"data.root = {data.root}: no such folder{where}; name the folder that {source.root}")


class _Split(NamedTuple):
    """A split's setting in words, its folder as named and where it is, its classes, and what is left out of it."""

    title: str
    folder: str
    where: Path
    classes: tuple[str, ...]
    left_out: list[LeftOut]

    def leave_out(self, path: str | Path, reason: str, end: str = "") -> None:
        """Note what is not packed; a folder ends with a slash."""
        place = os.path.join(as_path(self.folder), os.path.relpath(path, self.where))
        self.left_out.append(LeftOut(place + end, reason))


def _split(root: Path, key: str, folder: str) -> _Split:
    """A split's folder and classes; `key` is the setting that names it."""
    title, where = f"{key} = {folder}", root / as_path(folder)
    if not where.is_dir():
        there = listed(inside(root, title)[0]) or "no folder"
        raise ConfigError(f"{title}: no folder {where}; there is {there} in {root}")
    folders, others = inside(where, title)
    classes = tuple(name for name in folders if not is_hidden(name))
    if len(classes) < 2:
        held = f" ({classes[0]})" if classes else ""
        raise ConfigError(f"{title}: {where} holds {len(classes)} class folders{held}; it needs at least 2")
    split = _Split(title, folder, where, classes, [])
    for name in filter(is_hidden, folders):
        split.leave_out(where / name, account.HIDDEN, "/")
    for name in others:
        split.leave_out(where / name, account.HIDDEN if is_hidden(name) else account.NO_CLASS)
    return split


def _files(split: _Split) -> list[str]:
    """The picture files of a split, relative to its folder."""
    by_class = {name: _pictures(split, name) for name in split.classes}
    if empty := [name for name, files in by_class.items() if not files]:
        raise ConfigError(
            f"{split.title}: {len(empty)} of {len(split.classes)} classes in {split.where} hold no picture file "
            f"({listed(empty)}); fill or remove them"
        )
    return [file for files in by_class.values() for file in files]


def inside(folder: Path, title: str) -> tuple[list[str], list[str]]:
    """Names of the folders, sorted, and of what else there is, in a folder."""

    def refuse(error: OSError) -> None:
        raise ConfigError(
            f"{title}: {folder} cannot be listed ({error.strerror}); give yourself the permission to read it"
        ) from error

    _, folders, others = next(os.walk(folder, onerror=refuse))
    return sorted(folders, key=os.fsencode), others


def _pictures(split: _Split, name: str) -> list[str]:
    """Picture files of a class, links followed, relative to the split's folder."""
    found, real = [], split.where.resolve()
    read = {real, *real.parents}

    def unlisted(error: OSError) -> None:
        split.leave_out(error.filename, account.UNLISTED, "/")

    for folder, inner, files in os.walk(split.where / name, followlinks=True, onerror=unlisted):
        if (here := Path(folder).resolve()) in read:
            split.leave_out(folder, account.LOOP, "/")
            inner.clear()
            continue
        read.add(here)
        for hidden in filter(is_hidden, inner):
            split.leave_out(os.path.join(folder, hidden), account.HIDDEN, "/")
        inner[:] = sorted((entry for entry in inner if not is_hidden(entry)), key=os.fsencode)
        for file in files:
            path = os.path.join(folder, file)
            if is_hidden(file):
                split.leave_out(path, account.HIDDEN)
            elif file.lower().endswith(SUFFIXES):
                found.append(os.path.relpath(path, split.where))
            else:
                split.leave_out(path, account.OTHER_KIND)
    return sorted(found, key=lambda file: os.fsencode(file).split(b"/"))


def state_of(where: Path, files: Sequence[str]) -> str:
    """Digest of the names, sizes and times of files: what was changed is packed again."""
    state = hashlib.sha256()
    for file in files:
        try:
            status = os.stat(where / file)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # a dangling link, say, which will be named as unreadable
            stamp = "unreadable"
        state.update(os.fsencode(file) + f"\0{stamp}\n".encode())
    return state.hexdigest()[:16]
