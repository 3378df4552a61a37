"""The stage of an experiment: its units measured on workers, their tables joined and published."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidetrip.config import Config, check_samples
from sidetrip.data.packed import read_facts
from sidetrip.data.text import samples
from sidetrip.experiments.plan import Plan
from sidetrip.files import UnitFolders
from sidetrip.runtime.devices import on_cores
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.scratch import open_scratch, unit_folders
from sidetrip.runtime.stage import join_results, output_folder, publishing, stage, title
from sidetrip.runtime.units import worker

if TYPE_CHECKING:  # what a process that only hands out work can do without
    import pandas as pd

    from sidetrip.engine.lab import Lab


def run(plan: Plan) -> None:
    """Be the script of an experiment's stage."""
    stage(partial(measure_all, plan))()


def measure_all(plan: Plan, config: Config) -> None:
    """Measure every unit, and publish their tables, joined in the order of the units, as runs/<variant>/<name>.

    Of an experiment that the variant leaves out, there are none. Units that an earlier, killed run has finished are
    not measured again.

    Raises
    ------
    ConfigError
        If the settings ask for more samples than were packed: packing does not run again when they change.
    """
    units = plan.units_of(config)
    if units and plan.network:
        check_samples(config, *samples(read_facts(output_folder(config, "prepare_data")), config.data))
    with open_scratch(config, plan.name) as scratch:
        work = [plan.work(config, unit).passes for unit in units]
        folders = [unit_folders(scratch.folder, f"unit_{index:05d}") for index in range(len(units))]
        placed = config if plan.network else on_cores(config)
        if units:
            function = partial(measure, plan.name, config)
            run_units(function, units, work, placed, title(plan.name), folders, plan.counted)
        with publishing(config, plan.name, scratch) as target:
            join_results([each.result for each in folders], target)


def measure(name: str, config: Config, unit: Any, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Tables of one unit of an experiment, on the worker that this process is."""
    import torch  # which the process that hands out the work can do without

    from sidetrip.engine.lab import open_lab

    lab = open_lab(config, Path("runs") / config.variant, torch.device(worker().device))
    lab.progress = worker().progress.add
    return measure_in(lab, name, unit, folders)


def measure_in(lab: Lab, name: str, unit: Any, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Tables of one unit of an experiment, with what a lab has."""
    lab.folders = folders
    tables: Mapping[str, pd.DataFrame] = import_module(f"sidetrip.experiments.{name}.measure").measure(lab, unit)
    return tables
