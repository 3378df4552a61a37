"""Imported first by the script of a stage: what else it imports takes seconds, and a Ctrl-C may come meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

from sidetrip.runtime.stopping import end_at_once_when_asked, end_with_dvc
from sidetrip.runtime.terminal import speak_heedlessly

script = Path(getattr(sys.modules["__main__"], "__file__", ""))
if script.parent.name == "stages":  # in a stage, not in its workers or in tests
    speak_heedlessly()
    end_with_dvc(f"stage {script.stem}")
    end_at_once_when_asked(f"stage {script.stem}")
