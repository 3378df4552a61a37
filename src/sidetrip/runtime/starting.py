"""Imported first by the script of a stage: what else it imports takes seconds, and a Ctrl-C may come meanwhile."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from sidetrip.runtime.stopping import end_at_once_when_asked, end_with_dvc
from sidetrip.runtime.terminal import speak_heedlessly


@cache
def begin() -> None:
    """Be a stage: heedless of who reads what it says, ended by one signal, or with its dvc."""
    name = f"stage {Path(sys.argv[0]).stem}"
    speak_heedlessly()
    end_with_dvc(name)
    end_at_once_when_asked(name)


if Path(getattr(sys.modules["__main__"], "__file__", "")).parent.name == "stages":
    begin()
