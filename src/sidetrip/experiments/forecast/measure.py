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

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position
from sidetrip.experiments import evaluator
from sidetrip.experiments.forecast.columns import (
    ALONG,
    COOL_DOWN,
    COOL_DOWNS,
    MERGED,
    MOMENTARY,
    NO_DECAY,
    SCORED_ON,
    SEALS,
)
from sidetrip.experiments.forecast.forward import forecasts_at
from sidetrip.experiments.forecast.plan import (
    cool_down_work,
    look_work,
    looks,
    merged_at,
    sparse_averages,
    windows_from,
)
from sidetrip.experiments.units import Run
from sidetrip.experiments.work import Work, each_step
from sidetrip.files import is_whole, read_bytes, sealing
from sidetrip.kernels import DECAYS, Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage
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
    seed, begins, kept = unit.seed, lab.config.forecast.begins, _Kept(lab)
    curvature = _curvature(lab)
    scored: list[pd.DataFrame] = []
    sealed: list[pd.DataFrame] = []
    ran: list[pd.DataFrame] = []
    seals = []
    for last, begin in zip((-1, *begins), (*begins, lab.config.burn_in.steps), strict=True):
        here = {step: windows for step, windows in looks(lab.config).items() if last < step <= begin}
        work = sum((look_work(lab.config, windows) for windows in here.values()), Work())
        scored.append(kept(f"looks_{begin}", work, partial(_scored, lab, seed, here)))
        if begin not in begins:
            continue
        known = {"merged_snapshots": pd.concat(scored), "cool_downs": _joined(ran, COOL_DOWNS), **curvature}
        sealed.append(kept(f"forecasts_{begin}", Work(), partial(forecasts_at, lab.config, seed, begin, known)))
        seals.append((seed, begin, kept.digest(f"forecasts_{begin}")))
        work = cool_down_work(lab.config, begin)
        ran.append(kept(f"cool_downs_{begin}", work, _CoolDowns(lab, seed, begin).measure))
    return {
        "merged_snapshots": pd.concat(scored),
        "sealed_forecasts": pd.concat(sealed),
        "seals": pd.DataFrame(seals, columns=SEALS),
        "cool_downs": pd.concat(ran),
    }


def _joined(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(columns), dtype=float)


def _curvature(lab: Lab) -> dict[str, pd.DataFrame]:
    """The measured curvature, where the variant has it."""
    return {} if "curvature" in lab.config.left_out else {NODES: read_table(lab.runs / "curvature" / f"{NODES}.csv")}


class _Kept:
    """Tables of a unit on disk, sealed one by one; those that a killed attempt has finished are not made again."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __call__(self, name: str, work: Work, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The table of a name, as it is read back from disk."""
        if is_whole(self._file(name).parent):
            self._lab.progress(work.passes)
        else:
            table = make()
            with sealing(self._file(name).parent) as folder:
                write_table(table, folder / self._file(name).name)
        return read_table(self._file(name))

    def digest(self, name: str) -> str:
        """SHA-256 of its file."""
        return hashlib.sha256(read_bytes(self._file(name))).hexdigest()

    def _file(self, name: str) -> Path:
        return self._lab.folders.progress / name / f"{name}.csv"


def _score(lab: Lab, state: TrainState) -> tuple[float, float]:
    """Loss and accuracy on the validation split."""
    ((_, found),) = evaluator.scores(lab, state, SCORED_ON)
    return found.loss, found.accuracy


def _scored(lab: Lab, seed: int, looks_here: Mapping[int, Iterable[int]]) -> pd.DataFrame:
    rows = []
    for step, windows in looks_here.items():
        newest = lab.snapshot(seed, step)
        rows.append((seed, step, NO_DECAY, 0, MOMENTARY, *_score(lab, newest)))
        for window in windows:
            for decay, average in merged_at(lab.config, lab.rates, window, step):
                coefficients = dict(zip(average.steps, average.coefficients.tolist(), strict=True))
                weights = _merged(lab, seed, {used: coefficients[used] for used in average.used})
                rows.append((seed, step, decay, window, MERGED, *_score(lab, with_weights(newest, weights))))
    return pd.DataFrame(rows, columns=ALONG)


def _merged(lab: Lab, seed: int, coefficients: Mapping[int, float]) -> Tensors:
    """Weighted sum of the weights of snapshots, in the order of their steps."""
    total: Tensors = {}
    for step, coefficient in sorted(coefficients.items()):
        weights = lab.snapshot(seed, step).weights
        total = total or {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for name, weight in weights.items():
            total[name].add_(weight, alpha=coefficient)
    return total


class _CoolDowns:
    """All that begins at one step of a main trajectory."""

    def __init__(self, lab: Lab, seed: int, begin: int) -> None:
        self._lab, self._seed, self._begin = lab, seed, begin
        self._windows = windows_from(lab.config, begin)
        self._start: TrainState
        self._rows: list[tuple[object, ...]] = []

    def measure(self) -> pd.DataFrame:
        """Follow the main trajectory through the widest window, then run every decay."""
        (self._start,) = self._lab.replay(self._seed, [self._begin], [each_step(self._lab)])
        self._follow()
        for window in self._windows:
            for decay, schedule in DECAYS.items():
                self._add(decay, window, 0, COOL_DOWN, self._cooled_down(schedule(window)))
        return pd.DataFrame(self._rows, columns=COOL_DOWNS)

    def _add(self, decay: str, window: int, spacing: int, model: str, scores: tuple[float, float]) -> None:
        self._rows.append((self._seed, self._begin, decay, window, spacing, model, *scores))

    def _follow(self) -> None:
        lab, start = self._lab, self._start
        averages = [
            average
            for window in self._windows
            for average in sparse_averages(lab.config, lab.rates, self._begin, window)
        ]
        names = {id(average.kernel): average for average in averages}

        def finished(position: Position, running: RunningAverage) -> None:
            sparse = names[id(running.kernel)]
            scores = _score(lab, with_weights(start, running.weights()))
            self._add(sparse.decay, running.kernel.steps, sparse.spacing, MERGED, scores)

        def momentary(position: Position) -> None:
            if (window := position.step - self._begin) in self._windows:
                self._add(NO_DECAY, window, 0, MOMENTARY, _score(lab, with_weights(start, position.weights)))

        bank = AverageBank([RunningAverage(average.kernel, self._begin) for average in averages], finished)
        self._advance(Schedule.constant(self._windows[-1]), [bank, momentary])

    def _cooled_down(self, schedule: Schedule) -> tuple[float, float]:
        try:
            return _score(self._lab, self._advance(schedule, []))
        except DivergedError:
            return LOST

    def _advance(self, schedule: Schedule, observers: list[Observer]) -> TrainState:
        watching = [*observers, each_step(self._lab)]
        return self._lab.take_trip(self._start, self._lab.stream(self._seed), schedule, watching)
