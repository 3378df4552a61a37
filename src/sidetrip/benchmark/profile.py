"""`python -m sidetrip.benchmark.profile`: where a variant's time goes, by stage and by part of the work.

One unit of each stage runs under Python's profiler; what it spends in a few functions is summed by part and
multiplied by the number of units. The functions do not call one another, so no second counts twice.
"""

from __future__ import annotations

import cProfile
import inspect
import os
import pstats
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from sidetrip import batchnorm, evaluation, state, training
from sidetrip.benchmark.workers import start_up
from sidetrip.benchmark.workplace import Workplace, parser, prepared
from sidetrip.engine.lab import Lab
from sidetrip.engine.streams import TrainingStream
from sidetrip.experiments.alignment import alignment
from sidetrip.experiments.cases import starts_between
from sidetrip.experiments.divergence import divergence
from sidetrip.experiments.fixed_batch import fixed_batch
from sidetrip.experiments.main_trajectory import burn_in
from sidetrip.experiments.side_trips import averages_alone, side_trips
from sidetrip.experiments.single_step import single_step
from sidetrip.files import sealing
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.folding import FoldedNetwork
from sidetrip.runtime.executor import Workplace as RunPlace

PARTS: dict[str, list[Callable[..., object]]] = {
    "data": [TrainingStream.batch],
    "forward": [training.batch_loss],
    "backward": [torch.autograd.backward, torch.autograd.grad],
    "optimizer": [training.take_step],
    "averaging": [RunningAverage.__call__],
    "evaluation": [batchnorm.recalibrate, FoldedNetwork.refresh, evaluation.score],
    "input and output": [state.save_state, state.load_state],
}


@dataclass(frozen=True)
class Slice:
    """A unit of a stage, and how many such units the whole variant takes (a fraction where it is cut)."""

    stage: str
    run: Callable[[], object]
    units: float


def slices(work: Workplace, folder: Path) -> list[Slice]:
    """One slice of every stage that trains or evaluates."""
    config, lab, start = work.config, work.lab, work.start
    branches = len(config.seeds) * len(config.branch.points)
    steps, snapshots = config.burn_in.steps, config.burn_in.snapshot_every
    between = len(config.seeds) * len(starts_between(config))
    short = min(steps, snapshots)
    replayed = sum(point % snapshots for point in config.branch.points)
    rate, ends = config.burn_in.rate, (start, start)

    def cut(length: int) -> Lab:
        shorter = Lab(replace(config, burn_in=replace(config.burn_in, steps=length)), work.folder, work.device)
        shorter.evaluate = lab.evaluate
        return shorter

    def train(name: str) -> None:
        with sealing(folder / name) as result:
            burn_in(cut(short), 0, RunPlace(result, folder / f"{name}.progress"))

    return [
        Slice("burn_in", lambda: train("burn_in"), len(config.seeds) * steps / short),
        Slice("branch", lambda: train("branch"), len(config.seeds) * replayed / short),
        Slice("single_step", lambda: single_step(lab, start, 0), branches),
        Slice("fixed_batch", lambda: fixed_batch(lab, ends, (rate, rate), 0), branches - len(config.seeds)),
        Slice("side_trips", lambda: side_trips(lab, start, 0), branches),
        Slice("side_trips, in between", lambda: averages_alone(lab, start, 0), between),
        Slice("divergence", lambda: divergence(lab, start, 0, folder / "burn_in" / "seed_0"), branches),
        Slice("alignment", lambda: alignment(lab, start, 0), branches),
    ]


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


def profile_variant(work: Workplace) -> pd.DataFrame:
    """Seconds of one worker by stage (rows) and part (columns), for the whole variant."""
    ready = {row.quantity: row.value for row in start_up(work)}["to the first unit on a worker"]
    work.lab.evaluate, work.start  # noqa: B018 - opened before the clock starts
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in slices(work, Path(folder)):
            sys.stderr.write(f"{part.stage}\n")
            taken = seconds_by_part(part.run)
            # The whole run is a unit of the side trips' stage, which starts once.
            once = 0.0 if "," in part.stage else ready
            rows[part.stage] = {name: part.units * s for name, s in taken.items()} | {"start-up": once}
    table = pd.DataFrame(rows).T
    table.loc["all"] = table.sum()
    table["total"] = table.sum(axis=1)
    return table


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, profile, print."""
    options = parser("sidetrip.benchmark.profile", __doc__).parse_args(arguments)
    os.environ.setdefault("CUDA_LAUNCH_BLOCKING", "1")  # a GPU's time is then spent in the call that asks for it
    with prepared(options) as work:
        table = profile_variant(work)
    title = f"{options.variant}: seconds of one worker for the whole variant, start-up of each stage included"
    sys.stdout.write(f"{title}\n{table.round(1).to_string()}\n")


if __name__ == "__main__":
    main()
