"""Files that are whole or not there: atomic writes, and folders sealed with the digests of what they hold.

A sealed folder has a SHA256SUMS in the format of `sha256sum`, so anyone can check it with
`sha256sum --check`. Whatever a later stage reads is checked against it first and never half-used.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

Content = TypeVar("Content")

SUMS = "SHA256SUMS"
MAKE_ANEW = "run `dvc repro --force --single-item "


@dataclass(frozen=True)
class UnitFolders:
    """Where a unit of work writes."""

    result: Path  # empty, for files of the unit's result other than its tables
    progress: Path  # for what a unit that is killed can go on from; gone when the unit is finished


class FileError(RuntimeError):
    """A file that cannot be read or written; the message is one line with the path and what to do."""


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing(paths: Iterable[Path], root: Path) -> str:
    """What `sha256sum` prints for the files, with paths relative to `root`, sorted."""
    return "".join(
        f"{digest(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(paths, key=Path.as_posix)
    )


def files_in(folder: Path) -> list[Path]:
    """Every file of a folder and its subfolders, sorted; hidden ones, which a write was killed in, aside."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into one line."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(
            f"{path}: cannot be written ({reason}); make room or set its permissions, and run again"
        ) from error


def _temporary(path: Path, mark: str = "") -> Path:
    """A hidden name beside `path` that no other process writes to, on no machine that shares the folder."""
    return path.with_name(f".{platform.node()}.{os.getpid()}.{mark}{path.name}")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, full: bool = False) -> Iterator[Path]:
    """Yield a path to write a file or a folder to, which takes the place of `path` when all is on disk, or never.

    A folder takes the place of one that is not empty only where `full` says so.

    Raises
    ------
    FileError
        If the file system refuses.
    """
    # Same folder, so that the rename is atomic; same suffix, which matplotlib goes by.
    temporary = _temporary(path)
    with telling(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(temporary)
            yield temporary
            for written in (*files_in(temporary), temporary):
                _flush(written)
            if full and path.is_dir():  # a rename takes the place of an empty folder only
                former = _temporary(path, "former.")
                path.rename(former)
                temporary.rename(path)
                remove(former)
            else:
                os.replace(temporary, path)
            _flush(path.parent)
        finally:
            remove(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, atomically, the same bytes for the same values."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def seal(folder: Path, paths: Iterable[Path]) -> None:
    """Write SHA256SUMS over `paths`, all inside `folder`."""
    write_bytes(folder / SUMS, listing(paths, folder).encode())


@contextmanager
def sealing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; sealed and on disk, it takes the place of `folder` at the end, or never."""
    with replacing(folder, full=True) as temporary:
        temporary.mkdir()
        yield temporary
        seal(temporary, files_in(temporary))


def _sums(path: Path) -> dict[str, str]:
    # Not splitlines, for which a damaged line break may still be one.
    lines = path.read_bytes().decode(errors="replace").split("\n")
    return {name: found for found, _, name in (line.partition("  ") for line in lines if line)}


def _expected(path: Path) -> tuple[Path, str]:
    """The SHA256SUMS that covers a file, and the digest that stands there for it."""
    for folder in path.parents:
        sums = folder / SUMS
        if sums.is_file():
            found = _sums(sums).get(path.relative_to(folder).as_posix())
            if found is None:
                raise FileError(f"{path}: not listed in {sums}, one of the two is damaged; {remedy(path)}")
            return sums, found
    raise FileError(f"{path}: no {SUMS} beside it says what it must hold; {remedy(path)}")


def remedy(path: Path) -> str:
    """What to do about a damaged file of a stage's output; DVC alone would take it from its cache, damaged as it is."""
    match path.parts:
        case "runs", variant, stage, *_:
            return f"{MAKE_ANEW}{stage}@{variant}`, which makes it anew"
        case "reports", variant, part, *_:
            stage = {"figures": "figures", "plots": "figures", SUMS: "report"}.get(part, "verdicts")
            return f"{MAKE_ANEW}{stage}@{variant}`, which makes it anew, or `git checkout reports/{variant}`"
    return f"remove {path.parent}, so that it is made anew"


def _checked(path: Path, read: Callable[[Path], Content], digest_of: Callable[[Content], str]) -> Content:
    """What `read` makes of a file whose bytes are those that its folder was sealed with."""
    sums, expected = _expected(path)
    try:
        content = read(path)
    except (OSError, ValueError) as error:  # a damaged list of digests may name what no file can be called
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path}: cannot be read ({reason}); {remedy(path)}") from error
    if digest_of(content) != expected:
        raise FileError(f"{path}: damaged, its digest is not that in {sums}; {remedy(path)}")
    return content


def check(path: Path) -> Path:
    """Return `path` if its bytes are those that its folder was sealed with; they are not held in memory.

    Raises
    ------
    FileError
        If the file is missing, is damaged, or lies in no sealed folder.
    """
    _checked(path, digest, str)
    return path


def read_bytes(path: Path) -> bytes:
    """Contents of a file of a sealed folder, checked as `check` does."""
    return _checked(path, Path.read_bytes, lambda content: hashlib.sha256(content).hexdigest())


def read_json(path: Path) -> Any:
    """Read JSON of a sealed folder, checked."""
    return json.loads(read_bytes(path))


def faults(folder: Path, others: bool = False) -> Iterator[FileError]:
    """What is wrong with a sealed folder: files damaged, missing, or not listed, unless it may hold `others`."""
    sums = folder / SUMS
    try:
        names = _sums(sums)
    except OSError as error:
        yield FileError(f"{sums}: cannot be read ({error.strerror}); {remedy(sums)}")
        return
    for name in names:
        try:
            check(folder / name)
        except FileError as error:
            yield error
    for path in sorted({*files_in(folder)} - {sums, *(folder / name for name in names)}) if not others else ():
        yield FileError(f"{path}: not listed in {sums}; {remedy(path)}")


def is_whole(folder: Path) -> bool:
    """Whether a sealed folder is there and undamaged; says so on standard error where it is damaged."""
    fault = next(faults(folder), None) if folder.exists() else None
    if fault is not None:
        reason = str(fault).partition(";")[0]
        sys.stderr.write(f"sidetrip: {reason}; it is only scratch, and computed again\n")
    return folder.exists() and fault is None
