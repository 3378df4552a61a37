"""Mend what a kill of DVC leaves half-written, which it would refuse for ever: python -m sidetrip.repair.

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

PIPELINE, LOCK, USERS = Path("dvc.yaml"), Path("dvc.lock"), Path(".dvc/tmp/rwlock")
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
        if LOCK.exists() and not _is_whole(LOCK.read_bytes(), committed := _committed()):
            if _stages(committed) is None:
                LOCK.unlink()
                remedy = "removed"
            else:
                LOCK.write_bytes(committed)
                remedy = "taken from the last commit"
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


def _is_whole(lock: bytes, committed: bytes) -> bool:
    """Whether DVC takes a dvc.lock in which every stage of the committed one stands that the pipeline still has.

    What is left of a file may be good YAML; but DVC drops no stage from it.
    """
    found, before = _stages(lock), _stages(committed)
    if found is None:
        return False
    pipeline = yaml.load(PIPELINE.read_bytes(), LOADER)["stages"]
    return found >= {stage for stage in before or () if stage.partition("@")[0] in pipeline}


def _stages(lock: bytes) -> set[str] | None:
    """The stages of a dvc.lock; None if DVC refuses it."""
    try:
        return set(COMPILED_LOCKFILE_SCHEMA(yaml.load(lock, LOADER)).get("stages", ()))
    except (yaml.YAMLError, ValueError, Invalid):
        return None


def main() -> None:
    """Mend, and say so."""
    with suppress(LockError):  # dvc itself will say which other one is at work
        for line in repair():
            sys.stderr.write(f"sidetrip: {line}\n")


if __name__ == "__main__":
    main()
