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

import yaml
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid

LOCK, USERS = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def repair() -> list[str]:
    """Mend both files in the working directory, which is the root of a checkout; returns what was done.

    Raises
    ------
    LockError
        If another dvc is at work here.
    """
    done = []
    with Repo(".").lock:
        if USERS.exists() and not _is_json(USERS.read_bytes()):
            USERS.unlink()
            done.append(f"{USERS} was cut off by a kill: removed, DVC makes it anew")
        if LOCK.exists() and not _is_lock(LOCK.read_bytes()):
            committed = _committed()
            if _is_lock(committed):
                LOCK.write_bytes(committed)
                remedy = "taken from the last commit"
            else:
                LOCK.unlink()
                remedy = "removed"
            done.append(f"{LOCK} was cut off by a kill: {remedy}; what is finished comes from DVC's cache")
    return done


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _committed() -> bytes:
    """dvc.lock as of the last commit; nothing if there is none."""
    with suppress(OSError):
        return subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False).stdout
    return b""


def _is_lock(content: bytes) -> bool:
    """Whether it is a dvc.lock: DVC takes it, and it has its last line break, or numbers in the end may be cut off.

    One with fewer stages than before is whole: who removed them meant it.
    """
    if not content.endswith(b"\n"):
        return False
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(content, LOADER))
    except (yaml.YAMLError, ValueError, Invalid):
        return False
    return True


def main() -> None:
    """Mend, and say so."""
    with suppress(LockError):  # dvc itself will say which other one is at work
        for line in repair():
            sys.stderr.write(f"sidetrip: {line}\n")


if __name__ == "__main__":
    main()
