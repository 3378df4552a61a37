"""Pictures in folders: <root>/<split>/<class>/, links followed; and an account of what else lies there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidetrip.config import ConfigError, Data
from sidetrip.config.known import SOURCES
from sidetrip.config.paths import as_path, found_path
from sidetrip.data.account import (
    HIDDEN,
    LOOP,
    NO_CLASS,
    OTHER_KIND,
    REMARKS,
    UNLISTED,
    UNREADABLE,
    LeftOut,
    Odd,
    in_utf8,
    is_hidden,
    listed,
)
from sidetrip.data.decoding import CHANNELS, UnreadableError, decode
from sidetrip.data.packed import PICTURES_A_SHARD, SPLITS, Pictures, save_shard, shard_path

# As torchvision's ImageFolder, and some more names of the same formats; of several pictures in one file, the first.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)


@dataclass(frozen=True)
class ShardFiles:
    """Consecutive files of a split, which become one shard.

    Every picture becomes its central square, scaled, in RGB as a viewer shows it: turned as its EXIF orientation
    says, grey and palette pictures expanded, 16 bits reduced to the upper 8, transparent parts on black, which is
    also what moves in at the edges in training. See `decode`.

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

    @property
    def name(self) -> str:
        """Tells it from every other one of every other state of the folder."""
        return f"{self.split}_{self.shard:05d}_{self.state}"

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
            return {UNREADABLE: unreadable}
        number = {name: label for label, name in enumerate(self.classes)}
        labels = np.array([number[file.partition(os.sep)[0]] for file in self.files])
        pictures = Pictures(pixels, labels, tuple(map(in_utf8, self.classes)))
        save_shard(pictures, shard_path(folder, self.split, self.shard))
        return {REMARKS: remarks} if remarks else {}


def find_shards(data: Data) -> tuple[list[ShardFiles], list[LeftOut]]:
    """The files of both splits, at most PICTURES_A_SHARD together, and what is left out.

    Raises
    ------
    ConfigError
        If a folder or a class is missing, or the splits do not fit together.
    """
    check_root(data)
    splits = [
        _Split(data_root(data), key, folder)
        for key, folder in (("data.train_split", data.train_split), ("data.validation_split", data.validation_split))
    ]
    train, validation = splits
    if os.path.samefile(train.where, validation.where):
        raise ConfigError(
            f"data.validation_split = {data.validation_split}: the same folder as data.train_split; name another one"
        )
    odd = [
        f"{listed(only)} only in {mine.folder}"
        for mine, other in ((train, validation), (validation, train))
        if (only := [name for name in mine.classes if name not in set(other.classes)])
    ]
    if odd:
        raise ConfigError(f"data.root = {data.root}: the splits' classes differ: {'; '.join(odd)}; make them equal")
    shards = [shard for name, split in zip(SPLITS, splits, strict=True) for shard in split.shards(name)]
    return shards, [entry for split in splits for entry in sorted(split.left_out)]


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
    if source.root_is_there and not there:
        where = "" if str(root) == data.root else f" ({root})"
        raise ConfigError(f"data.root = {data.root}: no such folder{where}; name the folder that {source.root}")


class _Split:
    """The classes of a split, their files, and what else lies there.

    Parameters
    ----------
    root : Path
        Folder of all splits.
    key, folder : str
        The setting that names the split's folder, and what it says.
    """

    def __init__(self, root: Path, key: str, folder: str) -> None:
        self.folder, self.where = folder, root / as_path(folder)
        self.left_out: list[LeftOut] = []
        self._title = f"{key} = {folder}"
        if not self.where.is_dir():
            there = listed([entry.name for entry in self._entries(root) if entry.is_dir()]) or "no folder"
            raise ConfigError(f"{self._title}: no folder {self.where}; there is {there} in {root}")
        self.classes = self._classes()

    def shards(self, split: str) -> list[ShardFiles]:
        """Its files, cut into runs of PICTURES_A_SHARD, the last with the rest."""
        by_class = {name: self._files(name) for name in self.classes}
        if empty := [name for name, found in by_class.items() if not found]:
            raise ConfigError(
                f"{self._title}: {len(empty)} of {len(self.classes)} classes in {self.where} hold no picture file "
                f"({listed(empty)}); fill or remove them"
            )
        files = [file for found in by_class.values() for file in found]
        runs = [tuple(files[start : start + PICTURES_A_SHARD]) for start in range(0, len(files), PICTURES_A_SHARD)]
        return [
            ShardFiles(split, shard, self.where, self.classes, run, state_of(self.where, run))
            for shard, run in enumerate(runs)
        ]

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What a folder holds, in one order in every locale."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            raise ConfigError(
                f"{self._title}: {folder} cannot be listed ({error.strerror}); give yourself the permission to read it"
            ) from error

    def _classes(self) -> tuple[str, ...]:
        classes = []
        for entry in self._entries(self.where):
            is_folder = os.path.isdir(entry.path)
            if is_hidden(entry.name):
                self._leave_out(entry.path, HIDDEN, is_folder)
            elif is_folder:
                classes.append(entry.name)
            else:
                self._leave_out(entry.path, NO_CLASS)
        if len(classes) < 2:
            held = f" ({classes[0]})" if classes else ""
            raise ConfigError(
                f"{self._title}: {self.where} holds {len(classes)} class folders{held}; it needs at least 2"
            )
        return tuple(classes)

    def _files(self, name: str) -> list[str]:
        """Picture files of a class, links followed, relative to the split's folder."""
        found, real = [], self.where.resolve()
        read = {real, *real.parents}

        def closed(error: OSError) -> None:
            self._leave_out(error.filename, UNLISTED, True)

        for folder, inner, files in os.walk(self.where / name, followlinks=True, onerror=closed):
            if (here := Path(folder).resolve()) in read:
                self._leave_out(folder, LOOP, True)
                inner.clear()
                continue
            read.add(here)
            for hidden in filter(is_hidden, inner):
                self._leave_out(os.path.join(folder, hidden), HIDDEN, True)
            inner[:] = sorted((entry for entry in inner if not is_hidden(entry)), key=os.fsencode)
            for file in files:
                path = os.path.join(folder, file)
                if is_hidden(file):
                    self._leave_out(path, HIDDEN)
                elif not file.lower().endswith(SUFFIXES):
                    self._leave_out(path, OTHER_KIND)
                else:
                    found.append(os.path.relpath(path, self.where))
        return sorted(found, key=lambda file: os.fsencode(file).split(b"/"))

    def _leave_out(self, path: str, reason: str, is_folder: bool = False) -> None:
        file = os.path.join(as_path(self.folder), os.path.relpath(path, self.where))
        self.left_out.append(LeftOut(f"{file}/" if is_folder else file, reason))


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
