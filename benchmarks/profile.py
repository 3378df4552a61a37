"""`python -m benchmarks.profile`: where a variant's time goes, by stage and by part of the work.

The first unit of each kind of each stage runs under Python's profiler. What it spends in a few functions is summed by
part and multiplied by the work of all units of its kind. The functions do not call one another, so no second counts
twice.
"""

from __future__ import annotations

import cProfile
import inspect
import os
import pstats
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch

from benchmarks.input import BenchmarkInput, parser, prepared
from benchmarks.workers import start_up
from sidetrip.config import Config
from sidetrip.console import command
from sidetrip.engine import state, training
from sidetrip.engine.streams import PictureStream
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.registry import plans
from sidetrip.files import UnitFolders, sealing
from sidetrip.measure import batchnorm, evaluation
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.folding import FoldedNetwork
from sidetrip.runtime.experiment import measure_in
from sidetrip.tables import write_table

PARTS: dict[str, list[Callable[..., object]]] = {
    "data": [PictureStream.batch],
    "forward": [training.batch_loss],
    "backward": [torch.autograd.backward, torch.autograd.grad],
    "optimizer": [training.take_step],
    "averaging": [RunningAverage.__call__],
    "evaluation": [batchnorm.recalibrate, FoldedNetwork.refresh, evaluation.score],
    "input and output": [state.save_state, state.load_state],
}


def first_of_each_kind(plan: Plan, config: Config) -> list[tuple[Any, float]]:
    """The first unit of each kind, and the work of all of that kind in units of its own."""
    alike: dict[type, list[Any]] = {}
    for unit in plan.units_of(config):
        alike.setdefault(type(unit), []).append(unit)
    costs = {kind: [plan.work(config, unit).passes for unit in units] for kind, units in alike.items()}
    return [(units[0], sum(costs[kind]) / costs[kind][0]) for kind, units in alike.items()]


def measured(plan: Plan, unit: Any, work: BenchmarkInput) -> None:
    """Run a unit of an experiment, and leave what it writes where the next ones look for it."""
    with sealing(work.folder / plan.name) as result:
        folders = UnitFolders(result, work.folder / f"{plan.name}.progress")
        for name, table in measure_in(work.lab, plan.name, unit, folders).items():
            write_table(table, result / f"{name}.csv")


def seconds_by_part(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of one call in each part, and those left over."""
    profile = cProfile.Profile()
    profile.runcall(run)
    statistics = pstats.Stats(profile)
    spent = {key: entry[3] for key, entry in statistics.stats.items()}  # type: ignore[attr-defined]
    parts = {part: sum(spent.get(_key(f), 0.0) for f in functions) for part, functions in PARTS.items()}
    return parts | {"other": statistics.total_tt - sum(parts.values())}  # type: ignore[attr-defined]


def _key(function: Callable[..., object]) -> tuple[str, int, str]:
    """What pstats calls a Python function."""
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def profile_variant(work: BenchmarkInput) -> pd.DataFrame:
    """Seconds of one worker by stage (rows) and part (columns), for the whole variant."""
    ready = {row.quantity: row.value for row in start_up(work)}["to the first unit on a worker"]
    rows = {}
    for plan in [each for each in plans() if each.units_of(work.config)]:
        sys.stderr.write(f"{plan.name}\n")
        row: Counter[str] = Counter()
        for unit, times in first_of_each_kind(plan, work.config):
            taken = seconds_by_part(partial(measured, plan, unit, work))
            row.update({part: times * seconds for part, seconds in taken.items()})
        rows[plan.name] = {**row, "start-up": ready}
    table = pd.DataFrame(rows).T
    table.loc["all"] = table.sum()
    table["total"] = table.sum(axis=1)
    return table


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, profile, print."""
    options = parser("benchmarks.profile", __doc__).parse_args(arguments)
    os.environ.setdefault("CUDA_LAUNCH_BLOCKING", "1")  # a GPU's time is then spent in the call that asks for it
    with command(), prepared(options.variant, options.device, options.size, options.random) as work:
        table = profile_variant(work)
        title = f"{options.variant}: seconds of one worker for the whole variant, start-up of each stage included"
        sys.stdout.write(f"{title}\n{table.round(1).to_string()}\n")


if __name__ == "__main__":
    main()
