"""Units that workers of tests run: importable there by name."""

import os
import signal
import time
from pathlib import Path

import pandas as pd

from sidetrip.config import ConfigError
from sidetrip.runtime.executor import Workplace, worker_device


def where(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    """A table, a file, and the process that made them."""
    (place.result / f"file_{unit}.txt").write_text(str(unit))
    Path("processes").mkdir(exist_ok=True)
    Path(f"processes/{os.getpid()}").touch()
    return {"table": pd.DataFrame({"unit": [unit], "square": [unit**2], "device": [str(worker_device())]})}


def where_after_a_loss(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    """As `where`; the first attempt at unit 1 is killed with half of its result and some progress written."""
    place.progress.mkdir(parents=True, exist_ok=True)
    half = place.progress / "half"
    if unit == 1 and not half.exists():
        half.touch()
        (place.result / "file_1.txt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    return where(unit, place)


def deadly(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def refused(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    raise ConfigError(f"unit {unit} = bad: use another")


def endless(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    where(unit, place)
    time.sleep(600)
    return {}


def scheduler_killer(unit: int, place: Workplace) -> dict[str, pd.DataFrame]:
    os.kill(int(Path("scheduler.pid").read_text()), signal.SIGKILL)
    return {}
