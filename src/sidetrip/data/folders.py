"""Pictures in folders: <root>/<split>/<class>/, links followed; and an account of what else lies there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sidetrip.config import ConfigError, Data
from sidetrip.config.known import SOURCES
from sidetrip.config.paths import as_path, found_path
from sidetrip.data.decoding import CHANNELS, UnreadableError, decode
from sidetrip.data.packed import PICTURES_A_SHARD, SPLITS, Pictures, save_shard, shard_path

# As torchvision's ImageFolder, and some more names of the same formats; of several pictures in one file, the first.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
NAMED = 5  # how many files or classes a message names
REPORTED_AT_ONCE = 50  # pictures
# Why something is left out.
HIDDEN, OTHER_KIND, NO_CLASS = "hidden", "other kind of file", "in no class folder"
CLOSED, LOOP, NO_FILE = "folder that cannot be listed", "folder that leads back to itself", "neither file nor folder"


class LeftOut(NamedTuple):
    """A file or a whole folder that is not packed: its path from `data.root`, and the reason."""

    file: str
    reason: str


class Unreadable(NamedTuple):
    """A picture that cannot be read, and why."""

    file: Path
    reason: str


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
    left_out : list of LeftOut
        What else lies there.
    """

    name: str
    key: str
    folder: str
    where: Path
    classes: tuple[str, ...]
    files: list[str]
    left_out: list[LeftOut] = field(default_factory=list)


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

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> list[Unreadable]:
        """Write the shard into `folder`, unless some pictures cannot be read: those are returned."""
        side = data.packed_side
        unreadable: list[Unreadable] = []
        pixels = np.empty((len(self), side, side, CHANNELS), np.uint8)
        for i, file in enumerate(self.files, start=1):
            try:
                pixels[i - 1] = decode(self.where / file, side)
            except UnreadableError as error:
                unreadable.append(Unreadable(self.where / file, str(error)))
            if i % REPORTED_AT_ONCE == 0 or i == len(self):
                progress((i - 1) % REPORTED_AT_ONCE + 1)
        if not unreadable:
            number = {name: label for label, name in enumerate(self.classes)}
            labels = np.array([number[file.partition(os.sep)[0]] for file in self.files])
            pictures = Pictures(pixels, labels, tuple(map(in_utf8, self.classes)))
            save_shard(pictures, shard_path(folder, self.split, self.shard))
        return unreadable


def find_splits(data: Data) -> list[Split]:
    """List the files of both splits.

    Raises
    ------
    ConfigError
        If a folder or a class is missing, or the splits do not fit together.
    """
    check_root(data)
    root, folders = data_root(data), (data.train_split, data.validation_split)
    keys = ("data.train_split", "data.validation_split")
    splits = [_find(root, *named) for named in zip(SPLITS, keys, folders, strict=True)]
    if os.path.samefile(splits[0].where, splits[1].where):
        raise ConfigError(
            f"data.validation_split = {data.validation_split}: the same folder as data.train_split; name another one"
        )
    _check_same_classes(splits, data.root)
    return splits


def shard_files(split: Split) -> list[ShardFiles]:
    """A split cut into consecutive files, one shard each, the last with the rest."""
    return [
        ShardFiles(split.name, shard, split.where, split.classes, files, _state(split.where, files))
        for shard, start in enumerate(range(0, len(split.files), PICTURES_A_SHARD))
        if (files := tuple(split.files[start : start + PICTURES_A_SHARD]))
    ]


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
    if there and not root.is_dir():
        raise ConfigError(f"data.root = {data.root}: a file; name the folder that {source.root}")
    if source.root_is_there and not there:
        where = "" if str(root) == data.root else f" ({root})"
        raise ConfigError(f"data.root = {data.root}: no such folder{where}; name the folder that {source.root}")


def check_readable(split: Split, unreadable: Sequence[tuple[str, str]], written: Path) -> None:
    """Refuse a split with pictures that cannot be read: files and reasons, all of them in a file."""
    if unreadable:
        named = listed([f"{file}: {reason}" for file, reason in unreadable])
        raise ConfigError(
            f"{split.key} = {split.folder}: {len(unreadable)} of {len(split.files)} pictures cannot be read "
            f"({named}); mend or remove them, {written} lists them all"
        )


def in_utf8(name: str) -> str:
    """The name of a file or folder, read as UTF-8 whatever the locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _find(root: Path, name: str, key: str, folder: str) -> Split:
    where = root / as_path(folder)
    title = f"{key} = {folder}"
    if not os.path.isdir(where):
        there = listed(_folders(root, title)) or "no folder"
        raise ConfigError(f"{title}: no folder {where}; there is {there} in {root}")
    classes = _folders(where, title)
    if len(classes) < 2:
        held = f" ({classes[0]})" if classes else ""
        raise ConfigError(f"{title}: {where} holds {len(classes)} class folders{held}; it needs at least 2")
    walk = _Walk(where, str(as_path(folder)))
    found = [walk.pictures(name) for name in classes]
    if empty := [name for name, files in zip(classes, found, strict=True) if not files]:
        raise ConfigError(
            f"{title}: {len(empty)} of {len(classes)} classes in {where} hold no picture file "
            f"({listed(empty)}{walk.reasons(empty)}); fill or remove them"
        )
    files = [file for files in found for file in files]
    return Split(name, key, folder, where, tuple(classes), files, walk.left_out)


def _check_same_classes(splits: Sequence[Split], root: str) -> None:
    train, validation = splits
    odd = [
        f"{listed(only)} only in {mine.folder}"
        for mine, other in ((train, validation), (validation, train))
        if (only := sorted(set(mine.classes) - set(other.classes)))
    ]
    if odd:
        raise ConfigError(f"data.root = {root}: the splits' classes differ: {'; '.join(odd)}; make them equal")


def _entries(where: str | Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in one order in every locale."""
    with os.scandir(where) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except PermissionError:  # a link into a folder that is closed: to be told as such
        return True
    except OSError:  # a link to itself
        return False


def _folders(where: Path, title: str) -> list[str]:
    try:
        entries = _entries(where)
    except OSError as error:
        raise ConfigError(
            f"{title}: {where} cannot be listed ({error.strerror}); give yourself the permission to read it"
        ) from error
    return [entry.name for entry in entries if _is_folder(entry) and not entry.name.startswith(".")]


class _Walk:
    """Through the classes of a split, links followed. Texts, not paths: there may be a million of them."""

    def __init__(self, where: Path, folder: str) -> None:
        self.left_out: list[LeftOut] = []
        self._where, self._folder = os.fspath(where), folder
        real = where.resolve()
        self._above = frozenset(_identity(path) for path in (real, *real.parents))
        for entry in _entries(where):
            if entry.name.startswith("."):
                self._leave_out(entry.name, HIDDEN)
            elif not _is_folder(entry):
                self._leave_out(entry.name, NO_CLASS)

    def pictures(self, name: str) -> list[str]:
        """Files of a class, relative to the split's folder."""
        found: list[str] = []
        self._enter(name, self._above, found)
        return found

    def reasons(self, classes: Sequence[str]) -> str:
        """Why what lies in classes is left out, as a message ends."""
        starts = tuple(os.path.join(self._folder, name) for name in classes)
        reasons = {reason for file, reason in self.left_out if file.startswith(starts)}
        return f"; left out: {', '.join(sorted(reasons))}" if reasons else ""

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(os.path.join(self._folder, name), reason))

    def _enter(self, folder: str, above: frozenset[tuple[int, int]], found: list[str]) -> None:
        path = os.path.join(self._where, folder)
        try:
            here, entries = _identity(path), _entries(path)
        except OSError:
            return self._leave_out(folder, CLOSED)
        if here in above:
            return self._leave_out(folder, LOOP)
        for entry in entries:
            inside = os.path.join(folder, entry.name)
            if entry.name.startswith("."):
                self._leave_out(inside, HIDDEN)
            elif _is_folder(entry):
                self._enter(inside, above | {here}, found)
            elif not entry.name.lower().endswith(SUFFIXES):
                self._leave_out(inside, OTHER_KIND)
            elif os.path.exists(entry.path) and not entry.is_file():  # a pipe would be waited for for ever
                self._leave_out(inside, NO_FILE)
            else:  # or a link to nothing, which will be named as unreadable
                found.append(inside)


def _identity(path: str | Path) -> tuple[int, int]:
    """What two paths to one folder have in common."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


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


def listed(names: Sequence[object]) -> str:
    """The first few of names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more
