"""Units that workers of tests run: importable there by name."""

import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd

from sidetrip.config import ConfigError
from sidetrip.files import UnitFolders
from sidetrip.runtime.units import worker


def where(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """A table, a file, and the process that made them."""
    (folders.result / f"file_{unit}.txt").write_text(str(unit), encoding="utf-8")
    Path("processes").mkdir(exist_ok=True)
    Path(f"processes/{os.getpid()}").touch()
    return {"table": pd.DataFrame({"unit": [unit], "square": [unit**2], "device": [worker().device]})}


def loaded(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """Which of the slow packages are there before a unit asks for them, and torch's compiler after steps and scores."""
    found = {name: [name in sys.modules] for name in ("pandas", "torch")}
    from helpers import advanced, random_lab, smoke_config

    from sidetrip.engine.state import initial_state
    from sidetrip.experiments.evaluator import scores

    lab = random_lab(folders.result.parent / "lab", smoke_config())
    list(scores(lab, advanced(lab, initial_state(lab.model()), 2)))
    return {"loaded": pd.DataFrame(found | {"compiler": ["torch._dynamo" in sys.modules]})}


def where_after_a_loss(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """As `where`; the first attempt at unit 1 is killed with half of its result and some progress written."""
    folders.progress.mkdir(parents=True, exist_ok=True)
    half = folders.progress / "half"
    if unit == 1 and not half.exists():
        half.touch()
        (folders.result / "file_1.txt").write_text("half", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
    return where(unit, folders)


def lost_on_the_way(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """Tells, in time to be shown, of a part of its work, or of too much; the first attempt at unit 1 is then killed."""
    for _ in range(2):
        worker().progress.add(5)
        time.sleep(0.6)
    if unit == 1 and not (lost := folders.result.parent / "lost").exists():
        lost.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def crashing(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def refused(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    raise ConfigError(f"unit {unit} = bad: use another")


def scheduler_killer(unit: int, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    os.kill(int(Path("scheduler.pid").read_text(encoding="utf-8")), signal.SIGKILL)
    return {}
