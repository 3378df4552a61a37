"""Forecast what a decay that begins now would give, seal that, then run the decay for real.

Along a main trajectory the run and its merged snapshots (`sidetrip.snapshots`) are scored. Where a cool-down begins,
its forecasts are written and hashed first. Then the decays are run, on the next batches of the main trajectory, which
it has not seen by then, momentum carried over; beside them stand the averages of iterates of the same window, as sparse
as snapshots may be, which tell what such a decay would have given had it begun a window ago.

References
----------
Sandler, Zhmoginov, Miller, Vladymyrov, "Training trajectories, mini-batch losses and the curious role of the learning
rate", Table 1 and Lemma 2. DOI 10.48550/arXiv.2301.02312.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position
from sidetrip.experiments import evaluator
from sidetrip.experiments.forecast import plan
from sidetrip.experiments.forecast.forward import forecasts_at
from sidetrip.experiments.forecast.sparse import sparse_kernel
from sidetrip.experiments.units import Run
from sidetrip.experiments.work import Work, each_step
from sidetrip.files import digest, is_whole, sealing
from sidetrip.kernels import DECAYS, Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage
from sidetrip.snapshots import SnapshotAverage, nearest_average
from sidetrip.tables import read_table, write_table

LOST = (math.nan, math.nan)  # the scores of a run that diverged
NODES = "curvature_nodes"


def measure(lab: Lab, unit: Run) -> dict[str, pd.DataFrame]:
    """Follow one main trajectory: score looks, and at each step where decays begin seal their forecasts, then run them.

    Each part is kept as it is finished, so a unit that is killed goes on from there, and what is sealed stays.

    Returns
    -------
    merged_snapshots : DataFrame
        seed, step (of the newest snapshot), decay, window_steps, model (momentary, merged), loss, accuracy.
    sealed_forecasts : DataFrame
        Of `forecasts_at`.
    seals : DataFrame
        seed, branch, sha256: of its sealed forecasts, as a CSV file of their own.
    cool_downs : DataFrame
        seed, branch (the step at which it begins), decay, window_steps, spacing_steps (between the iterates of a merged
        model; else 0), model (momentary, merged, cool-down), loss, accuracy, all of the step at which the window ends;
        empty where a cool-down diverged.

    All scores are on the validation split.
    """
    seed, begins, curvature = unit.seed, lab.config.forecast.begins, _curvature(lab)
    scored: list[pd.DataFrame] = []
    sealed: list[pd.DataFrame] = []
    ran: list[pd.DataFrame] = []
    seals = []
    for last, begin in zip((-1, *begins), (*begins, lab.config.burn_in.steps), strict=True):
        here = {step: windows for step, windows in plan.looks(lab.config).items() if last < step <= begin}
        work = sum((plan.look_work(lab.config, windows) for windows in here.values()), Work())
        scored.append(read_table(_kept(lab, f"looks_{begin}", work, partial(_scored, lab, seed, here))))
        if begin not in begins:
            continue
        ended = pd.concat(ran) if ran else pd.DataFrame(columns=plan.COOL_DOWNS, dtype=float)
        known = {"merged_snapshots": pd.concat(scored), "cool_downs": ended, **curvature}
        path = _kept(lab, f"forecasts_{begin}", Work(), partial(forecasts_at, lab.config, seed, begin, known))
        sealed.append(read_table(path))
        seals.append((seed, begin, digest(path)))
        work = plan.cool_down_work(lab.config, begin)
        ran.append(read_table(_kept(lab, f"cool_downs_{begin}", work, partial(_cool_downs, lab, seed, begin))))
    return {
        "merged_snapshots": pd.concat(scored),
        "sealed_forecasts": pd.concat(sealed),
        "seals": pd.DataFrame(seals, columns=["seed", "branch", "sha256"]),
        "cool_downs": pd.concat(ran),
    }


def _curvature(lab: Lab) -> dict[str, pd.DataFrame]:
    """The measured curvature, where the variant has it."""
    return {} if "curvature" in lab.config.left_out else {NODES: read_table(lab.runs / "curvature" / f"{NODES}.csv")}


def _kept(lab: Lab, name: str, work: Work, make: Callable[[], pd.DataFrame]) -> Path:
    """File of a part of a unit's tables, sealed; one that a killed attempt has finished is not made again."""
    path = lab.folders.progress / name / f"{name}.csv"
    if is_whole(path.parent):
        lab.progress(work.passes)
    else:
        table = make()
        with sealing(path.parent) as folder:
            write_table(table, folder / path.name)
    return path


def _score(lab: Lab, state: TrainState) -> tuple[float, float]:
    """Loss and accuracy on the validation split."""
    ((_, found),) = evaluator.scores(lab, state, plan.SCORED_ON)
    return found.loss, found.accuracy


def _scored(lab: Lab, seed: int, looks_here: Mapping[int, Iterable[int]]) -> pd.DataFrame:
    rows, snapshots = [], range(0, lab.config.burn_in.steps + 1, lab.config.burn_in.snapshot_every)
    for step, windows in looks_here.items():
        newest = lab.snapshot(seed, step)
        rows.append((seed, step, "none", 0, "momentary", *_score(lab, newest)))
        for window, (decay, schedule) in product(windows, DECAYS.items()):
            average = nearest_average(snapshots, schedule(window), lab.rates, step)
            merged = with_weights(newest, _merged(lab, seed, average))
            rows.append((seed, step, decay, window, "merged", *_score(lab, merged)))
    return pd.DataFrame(rows, columns=plan.ALONG)


def _merged(lab: Lab, seed: int, average: SnapshotAverage) -> Tensors:
    """Weighted sum of the weights of snapshots, in the order of their steps."""
    total: Tensors = {}
    coefficients = dict(zip(average.steps, average.coefficients.tolist(), strict=True))
    for step in average.used:
        weights = lab.snapshot(seed, step).weights
        total = total or {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for name, weight in weights.items():
            total[name].add_(weight, alpha=coefficients[step])
    return total


def _cool_downs(lab: Lab, seed: int, begin: int) -> pd.DataFrame:
    """Follow the main trajectory from a step through the widest window, then run every decay from there."""
    (start,) = lab.replay(seed, [begin], [each_step(lab)])
    windows = plan.windows_from(lab.config, begin)
    averages = {
        RunningAverage(sparse_kernel(decay, lab.rates, begin, window, spacing), begin): (decay, window, spacing)
        for window in windows
        for decay in DECAYS
        for spacing in plan.spacings(lab.config, window)
    }
    rows: list[tuple[object, ...]] = []

    def add(decay: str, window: int, spacing: int, model: str, scores: tuple[float, float]) -> None:
        rows.append((seed, begin, decay, window, spacing, model, *scores))

    def advance(schedule: Schedule, *observers: Observer) -> TrainState:
        return lab.take_trip(start, lab.stream(seed), schedule, [*observers, each_step(lab)])

    def finished(position: Position, running: RunningAverage) -> None:
        add(*averages[running], "merged", _score(lab, with_weights(start, running.weights())))

    def momentary(position: Position) -> None:
        if (window := position.step - begin) in windows:
            add("none", window, 0, "momentary", _score(lab, with_weights(start, position.weights)))

    advance(Schedule.constant(windows[-1]), AverageBank(averages, finished), momentary)
    for window, (decay, schedule) in product(windows, DECAYS.items()):
        try:
            scores = _score(lab, advance(schedule(window)))
        except DivergedError:
            scores = LOST
        add(decay, window, 0, "cool-down", scores)
    return pd.DataFrame(rows, columns=plan.COOL_DOWNS)
