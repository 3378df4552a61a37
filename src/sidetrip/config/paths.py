"""Paths that settings name."""

from __future__ import annotations

import os
from pathlib import Path

COPIES = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and `--queue` put the copies of the tree they run in


def as_path(text: str) -> Path:
    """The path that a setting names: ~ and $NAME as in a shell."""
    return Path(os.path.expandvars(os.path.expanduser(text)))


def original_checkout(here: Path) -> Path | None:
    """The checkout that DVC copied `here` from, to run an experiment beside it; None where it is no such copy."""
    for folder in (here, *here.parents):
        if folder.parts[-len(COPIES) :] == COPIES:
            return folder.parents[len(COPIES) - 1]
    return None


def found_path(text: str, inside: str = "") -> Path:
    """As `as_path`; in DVC's copy of a checkout, which lacks what git ignores, what is not there is the original's.

    `inside` names what a path has to hold to be there.
    """
    path = as_path(text)
    original = original_checkout(Path.cwd())
    return path if original is None or os.path.exists(path / as_path(inside)) else original / path
