"""Where a stage keeps what is finished until all of it is: a stage that is killed goes on from there.

scratch/<variant>/<stage>/<digest>/ lies outside DVC's outs, which DVC deletes on a restart. The digest is
that of code, settings, inputs and software, so results of other settings are never picked up.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sidetrip.config import Config
from sidetrip.files import FileError, UnitFolders, telling
from sidetrip.runtime.provenance import Provenance, code_digest, provenance, sources

PATIENCE = 20.0  # seconds; a stage whose dvc was killed ends itself within one


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the system lets go of it when the process ends, however that happens."""
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    with telling(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            sys.stderr.write("sidetrip: waiting for another process that is still running this stage\n")
            try:
                lock.acquire(timeout=PATIENCE, poll_interval=0.1)
            except Timeout as error:
                raise FileError(
                    f"{path}: another process is still running this stage; wait for it, or end it, and run again"
                ) from error
    try:
        yield
    finally:
        lock.release()


class Scratch:
    """Scratch of one run of a stage.

    Attributes
    ----------
    folder : Path
        scratch/<variant>/<stage>/<digest>.
    provenance : Provenance
        What that digest is of.
    """

    def __init__(self, config: Config, stage: str) -> None:
        self._config, self._stage = config, stage
        self.provenance: Provenance = provenance(config, stage)
        self.folder = Path("scratch") / config.variant / stage / self.provenance.digest[:16]

    def of_unit(self, index: int) -> UnitFolders:
        """Where a unit writes, by its number."""
        return unit_folders(self.folder, f"unit_{index:05d}")

    def check_code(self) -> None:
        """Refuse results whose code was edited while they were computed.

        Raises
        ------
        FileError
            DVC hashes code when a stage ends; it would record results of the old under the new.
        """
        if code_digest(sources(self._stage, self._config.variant)) != self.provenance.code:
            raise FileError(
                f"stage {self._stage}: its code changed while it ran, so its results are dropped; run `dvc repro` again"
            )

    def remove(self) -> None:
        """Forget it: all is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def unit_folders(folder: Path, name: str) -> UnitFolders:
    """Where a unit of a name writes in a folder."""
    return UnitFolders(folder / name, folder / f"{name}.progress")


@dataclass(frozen=True)
class FoldersByName:
    """Where units write whose results depend on their names, not on their numbers alone.

    Attributes
    ----------
    folder : Path
        Of the scratch.
    names : sequence of str
        Of the units, by their number.
    """

    folder: Path
    names: Sequence[str]

    def of_unit(self, index: int) -> UnitFolders:
        """See `Scratch`."""
        return unit_folders(self.folder, self.names[index])


@contextmanager
def open_scratch(config: Config, stage: str) -> Iterator[Scratch]:
    """Scratch of a stage, for one writer at a time.

    Raises
    ------
    FileError
        If another process is still running the stage, or an input is missing.
    """
    with _exclusive(Path("scratch") / config.variant / stage / "lock"):
        scratch = Scratch(config, stage)
        with telling(scratch.folder):
            scratch.folder.mkdir(parents=True, exist_ok=True)
        yield scratch
