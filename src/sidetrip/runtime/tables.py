"""Units of work that make tables: run on the workers, joined in the order of the units, written as CSV."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from sidetrip.config import Config
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.stage import output_folder

Unit = TypeVar("Unit")
Tables = dict[str, pd.DataFrame]
FLOAT_FORMAT = "%.9g"  # every float32 and the meaningful part of a float64


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table, atomically, the same bytes for the same values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(temporary, index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    os.replace(temporary, path)


def tabulate(
    config: Config, stage: str, function: Callable[[Unit], Tables], units: Sequence[Unit], costs: Sequence[float]
) -> None:
    """Run `function` on each unit and write runs/<variant>/<stage>/<table>.csv for each table it returns.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    stage : str
        Name of the stage.
    function : callable
        Of one unit; returns tables by name. Importable by name in a fresh process.
    units, costs : sequences of equal length
        What to do, and about how many `report_progress` amounts each will report.
    """
    results = run_units(function, units, costs, config.runtime, config.model.precision, stage)
    for name in dict.fromkeys(name for tables in results for name in tables):
        joined = pd.concat([tables[name] for tables in results if name in tables])
        write_table(joined, output_folder(config, stage) / f"{name}.csv")
