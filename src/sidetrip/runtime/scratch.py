"""Where a stage keeps what is finished until all of it is: a stage that is killed goes on from there.

scratch/<variant>/<stage>/<digest>/ lies outside DVC's outs, which DVC deletes on a restart. The digest is
that of code, settings, inputs and software, so what other settings left is never picked up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidetrip.config import Config
from sidetrip.files import FileError, telling
from sidetrip.runtime.provenance import Provenance, code_digest, provenance, sources

PATIENCE = 20.0  # seconds; a stage whose dvc was killed ends itself within one


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the system lets go of it when the process ends, however that happens."""
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        waited_from, told = time.monotonic(), False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                if time.monotonic() - waited_from > PATIENCE:
                    raise FileError(
                        f"{path}: process {holder} is still running this stage; wait for it, or end it, and run again"
                    ) from error
                if not told:
                    sys.stderr.write(f"sidetrip: waiting for process {holder}, which is still running this stage\n")
                    told = True
                time.sleep(0.1)
        with telling(path):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


class Scratch:
    """Scratch of one run of a stage.

    Attributes
    ----------
    folder : Path
        scratch/<variant>/<stage>/<digest>.
    provenance : Provenance
        What that digest is of.
    """

    def __init__(self, config: Config, stage: str, processes: int) -> None:
        self._config, self._stage = config, stage
        self.provenance: Provenance = provenance(config, stage, processes)
        self.folder = Path("scratch") / config.variant / stage / self.provenance.digest[:16]

    def result(self, index: int) -> Path:
        """Sealed folder of a finished unit."""
        return self.folder / f"unit_{index:05d}"

    def progress(self, index: int) -> Path:
        """Folder in which a unit that is under way may keep what it can go on from."""
        return self.folder / f"unit_{index:05d}.progress"

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


@dataclass(frozen=True)
class NamedPlaces:
    """Where units write whose number alone does not say what they are: results of another input are not taken up.

    Attributes
    ----------
    folder : Path
        Of the scratch.
    names : sequence of str
        Of the units, by their number.
    """

    folder: Path
    names: Sequence[str]

    def result(self, index: int) -> Path:
        """See `Scratch`."""
        return self.folder / self.names[index]

    def progress(self, index: int) -> Path:
        """See `Scratch`."""
        return self.folder / f"{self.names[index]}.progress"


@contextmanager
def open_scratch(config: Config, stage: str, processes: int = 1) -> Iterator[Scratch]:
    """Scratch of a stage whose units go over so many processes, for one writer at a time.

    Raises
    ------
    FileError
        If another process is still running the stage, or an input is missing.
    """
    with _exclusive(Path("scratch") / config.variant / stage / "lock"):
        scratch = Scratch(config, stage, processes)
        with telling(scratch.folder):
            scratch.folder.mkdir(parents=True, exist_ok=True)
        yield scratch
