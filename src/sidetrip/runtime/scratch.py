"""Where a stage keeps what is finished until all of it is: a stage that is killed goes on from there.

scratch/<variant>/<stage>/<digest>/ lies outside DVC's outs, which DVC deletes on a restart. The digest is
that of code, settings, inputs and software, so results of other settings are never picked up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from sidetrip.config import Config
from sidetrip.files import FileError, UnitFolders, telling
from sidetrip.runtime.provenance import digest_of, provenance

PATIENCE = 20.0  # seconds; a stage whose dvc was killed ends itself within one


def _exclusive(path: Path) -> AcquireReturnProxy:
    """Hold the lock file `path`; the system lets go of it when the process ends, however that happens."""
    lock = FileLock(path)
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            sys.stderr.write("sidetrip: waiting for another process that is still running this stage\n")
        try:
            return lock.acquire(timeout=PATIENCE, poll_interval=0.1)
        except Timeout as error:
            raise FileError(
                f"{path}: another process is still running this stage; wait for it, or end it, and run again"
            ) from error


@dataclass(frozen=True)
class Scratch:
    """Scratch of one run of a stage."""

    folder: Path  # scratch/<variant>/<stage>/<digest>
    code: str  # digest of the code that the stage began with


def unit_folders(folder: Path, name: str) -> UnitFolders:
    """Where the unit of this name writes."""
    return UnitFolders(folder / name, folder / f"{name}.progress")


@contextmanager
def open_scratch(config: Config, stage: str) -> Iterator[Scratch]:
    """Scratch of a stage, for one writer at a time.

    Raises
    ------
    FileError
        If another process is still running the stage, or an input is missing.
    """
    place = Path("scratch") / config.variant / stage
    with _exclusive(place / "lock"):
        found = provenance(config, stage)
        scratch = Scratch(place / digest_of(found)[:16], found["code"])
        with telling(scratch.folder):
            scratch.folder.mkdir(parents=True, exist_ok=True)
        yield scratch
