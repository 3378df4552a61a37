"""Units whose times are taken, on the pipeline's own workers. Needs no torch itself, as a stage does not.

`python -m benchmarks.units SECONDS` prints how long after SECONDS (of the machine's monotonic clock) a
unit on a worker has loaded what it computes with.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

import sidetrip.runtime.stage  # noqa: F401 - what every stage loads
from sidetrip.config import Config, load_params, resolve
from sidetrip.files import UnitFolders
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.scratch import unit_folders
from sidetrip.tables import read_table

Tables = Mapping[str, pd.DataFrame]
Unit = Callable[[int, UnitFolders], Tables]


def span(start: float) -> Tables:
    """Start of a unit and its end, now, by the monotonic clock, which processes share."""
    return {"span": pd.DataFrame({"start": [start], "end": [time.monotonic()]})}


def spans_of(unit: Unit, units: int, config: Config) -> pd.DataFrame:
    """Run a unit so many times on the workers; columns start, end, one row a unit."""
    with tempfile.TemporaryDirectory() as folder:
        folders = [unit_folders(Path(folder), f"unit_{index}") for index in range(units)]
        run_units(unit, range(units), [1] * units, config, "benchmark", folders, "unit")
        return pd.concat([read_table(each.result / "span.csv") for each in folders])


def loaded(index: int, _: UnitFolders) -> Tables:
    """Load what most stages compute with."""
    import sidetrip.experiments.side_trips.measure  # noqa: F401

    return span(time.monotonic())


if __name__ == "__main__":
    variant = resolve(load_params(Path("params.yaml")), "smoke")
    sys.stdout.write(f"{spans_of(loaded, 1, variant)['start'].iloc[0] - float(sys.argv[1])}\n")
