"""Mend what a kill of DVC leaves half-written and DVC itself refuses for ever: python -m sidetrip.repair.

DVC empties dvc.lock before it writes it anew, and the list of who uses which file, too. What the stages computed is in
its cache all the while, and comes back from there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from dvc.lock import LockError
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils import strictyaml
from dvc.utils.serialize import ParseError

LOCK, USERS = Path("dvc.lock"), Path(".dvc/tmp/rwlock")


def main() -> None:
    """Mend both files in the working directory, which is the root of a checkout, and say so."""
    with suppress(LockError), Repo(".").lock:  # dvc itself will say which other one is at work
        try:
            json.loads(USERS.read_bytes() if USERS.exists() else "{}")
        except ValueError:
            USERS.unlink()
            sys.stderr.write(f"sidetrip: {USERS} was cut off by a kill: removed, DVC makes it anew\n")
        if LOCK.exists() and not _lock_is_whole():
            committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False).stdout
            LOCK.write_bytes(committed)  # nothing, if there is none
            remedy = "taken from the last commit"
            if not _lock_is_whole():
                LOCK.unlink()
                remedy = "removed"
            sys.stderr.write(
                f"sidetrip: {LOCK} was cut off by a kill: {remedy}; what is finished comes from DVC's cache\n"
            )


def _lock_is_whole() -> bool:
    """Whether DVC takes it, and it has its last line break, or numbers in the end may be cut off.

    One with fewer stages than before is whole: who removed them meant it.
    """
    try:
        strictyaml.load(str(LOCK), COMPILED_LOCKFILE_SCHEMA)
    except (ParseError, strictyaml.YAMLValidationError):
        return False
    return LOCK.read_bytes().endswith(b"\n")


if __name__ == "__main__":
    main()
