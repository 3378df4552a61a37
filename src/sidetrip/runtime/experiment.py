"""The stage of an experiment: its script declares the units, the experiment of the same name measures them."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidetrip.config import Config
from sidetrip.engine.units import BranchPoint
from sidetrip.files import UnitFolders
from sidetrip.runtime.devices import on_cores
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.provenance import pipeline
from sidetrip.runtime.scratch import open_scratch
from sidetrip.runtime.stage import join_results, publishing, stage
from sidetrip.runtime.units import worker

if TYPE_CHECKING:  # what a process that only hands out work can do without
    import pandas as pd

    from sidetrip.engine.lab import Lab


@dataclass(frozen=True)
class Experiment:
    """Declaration of a stage that measures.

    Attributes
    ----------
    name : str
        Of the stage, and of its module in `sidetrip.experiments`, whose `measure(lab, start, seed)` returns tables by
        name for a branch point, or `measure(lab, unit)` for any other unit.
    units : callable
        Of the configuration; what there is to measure, each independent of the others.
    cost : callable
        Of the configuration and a unit; about how much the unit will report as done.
    trains : bool
        Whether units take training steps, which `runtime.processes` may share.
    network : bool
        Whether units need a network; without one they run on processor cores, whatever `runtime.device` is.
    """

    name: str
    units: Callable[[Config], Sequence[Any]]
    cost: Callable[[Config, Any], float]
    trains: bool = True
    network: bool = True

    def units_of(self, config: Config) -> Sequence[Any]:
        """What there is to measure in a variant: nothing where it leaves the experiment out."""
        return [] if self.name in config.left_out else self.units(config)

    def run(self, config: Config) -> None:
        """Measure every unit, and publish their tables, joined in the order of the units, as runs/<variant>/<name>.

        Of an experiment that the variant leaves out, there are none.

        Units that an earlier, killed run has finished are not measured again.

        Raises
        ------
        FileError
            If a file cannot be read or written, or the code changed meanwhile.
        """
        units = self.units_of(config)
        processes = config.runtime.processes if self.trains else 1
        with open_scratch(config, self.name, processes) as scratch:
            costs = [self.cost(config, unit) for unit in units]
            placed = config if self.network else on_cores(config)
            if units:
                run_units(partial(measure, self.name, config), units, costs, placed, self.name, scratch, processes)
            with publishing(config, self.name, scratch) as target:
                join_results([scratch.of_unit(index).result for index in range(len(units))], target)

    def main(self) -> None:
        """Be the stage's script."""
        stage(self.run)()


def declared(name: str) -> Experiment | None:
    """What stages/NAME.py declares, if it is the stage of an experiment."""
    found = runpy.run_path(str(Path("stages") / f"{name}.py")).get("STAGE")
    return found if isinstance(found, Experiment) else None


def experiments() -> list[Experiment]:
    """All that the pipeline declares, in its order."""
    return [experiment for name in pipeline() if (experiment := declared(name)) is not None]


def measure(name: str, config: Config, unit: Any, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Tables of one unit of an experiment, on the worker that this process is."""
    import torch  # which the process that hands out the work can do without

    from sidetrip.engine.lab import open_lab

    lab = open_lab(config, Path("runs") / config.variant, torch.device(worker().device))
    lab.report = worker().report
    return measure_in(lab, name, unit, folders)


def measure_in(lab: Lab, name: str, unit: Any, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Tables of one unit of an experiment, with what a lab has."""
    lab.folders = folders
    experiment = import_module(f"sidetrip.experiments.{name}")
    if isinstance(unit, BranchPoint):
        tables: Mapping[str, pd.DataFrame] = experiment.measure(lab, lab.branch_point(unit.seed, unit.step), unit.seed)
    else:
        tables = experiment.measure(lab, unit)
    return tables
