"""Paths that settings name."""

from __future__ import annotations

import os
from pathlib import Path

COPIES = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and `--queue` put the copies of the tree they run in


def as_path(text: str) -> Path:
    """The path that a setting names: ~ and $NAME as in a shell."""
    return Path(os.path.expandvars(os.path.expanduser(text)))


def found_path(text: str, inside: str = "") -> Path:
    """As `as_path`; in DVC's copy of a checkout, which lacks what git ignores, what is not there is the original's.

    `inside` names what a path has to hold to be there.
    """
    path, here = as_path(text), Path.cwd()
    for folder in (here, *here.parents):
        if folder.parts[-len(COPIES) :] == COPIES and not os.path.exists(path / as_path(inside)):
            return folder.parents[len(COPIES) - 1] / path
    return path
