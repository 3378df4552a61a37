"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
import math

import pandas as pd

from sidetrip.averaging import AverageBank, RunningAverage
from sidetrip.config import Config
from sidetrip.experiments.bench import SPLITS, Bench
from sidetrip.experiments.cases import Case, cases, controls, shared_trips, widest
from sidetrip.runtime.executor import report_progress
from sidetrip.state import Tensors, TrainState, distance, with_weights
from sidetrip.training import DivergedError, Position, advance

MOMENTARY, AVERAGE, TRIP = "momentary", "average", "trip"

Key = tuple[str, int]  # name and window of a case


class _Scores:
    """Rows of the table of one branch point."""

    def __init__(self, bench: Bench, seed: int, branch: int) -> None:
        self._bench, self._seed, self._branch = bench, seed, branch
        self.rows: list[dict[str, object]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None) -> None:
        """Score weights; None stands for a trip that diverged."""
        scores = {s: (v.loss, v.accuracy) for s, v in self._bench.evaluate(weights)} if weights is not None else {}
        for split in SPLITS:
            loss, accuracy = scores.get(split, (math.nan, math.nan))
            self.rows.append(
                {
                    "seed": self._seed,
                    "branch": self._branch,
                    "kernel": case,
                    "window_steps": window,
                    "model": model,
                    "split": split,
                    "loss": loss,
                    "accuracy": accuracy,
                    "diverged": weights is None or not math.isfinite(loss),
                }
            )


def follow(bench: Bench, start: TrainState, seed: int, averaged: list[Case], scores: _Scores) -> dict[Key, TrainState]:
    """Follow the main trajectory through the windows of `averaged`: score it there, and every average.

    Returns
    -------
    dict
        The averages, by name and window.
    """
    averages: dict[Key, TrainState] = {}
    names = {id(case.kernel): case for case in averaged}
    looks = {0, *(case.window for case in averaged)}

    def finished(position: Position, average: RunningAverage) -> None:
        case, weights = names[id(average.kernel)], average.weights()
        averages[case.name, case.window] = with_weights(start, weights)
        scores.add(case.name, case.window, AVERAGE, weights)

    def momentary(position: Position) -> None:
        if position.step - start.step in looks:
            position.check()
            scores.add("none", position.step - start.step, MOMENTARY, position.weights)

    bank = AverageBank([RunningAverage(case.kernel, start.step) for case in averaged], finished)
    rates = bench.rates[start.step : start.step + max(looks)]
    advance(bench.model(), start, bench.stream(seed), rates.tolist(), bench.optimizer, [bank, momentary, _tick])
    return averages


def side_trips(bench: Bench, start: TrainState, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The main trajectory carries the running averages of all kernels; every trip takes the same batches with
    momentum carried over.

    Returns
    -------
    scores : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip), split, loss, accuracy,
        diverged. Momentary rows have the kernel "none", that of the branch point itself the window 0;
        negative controls have an average alone.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    compared = cases(bench.config)
    false: dict[Key, list[Case]] = {(true.name, true.window): [] for _, true in controls(bench.config)}
    for control, true in controls(bench.config):
        false[true.name, true.window].append(control)
    scores = _Scores(bench, seed, start.step)
    averages = follow(bench, start, seed, [*compared, *itertools.chain(*false.values())], scores)

    distances = []
    for schedule, riders in shared_trips(compared):
        ends = {start.step + case.window: case for case in riders}

        def arrived(position: Position, ends: dict[int, Case] = ends) -> None:
            if position.step not in ends:
                return
            position.check()
            case = ends.pop(position.step)
            scores.add(case.name, case.window, TRIP, position.weights)
            here = with_weights(start, position.weights)
            for kind in (case, *false.get((case.name, case.window), [])):
                average = averages[kind.name, kind.window]
                apart = distance(average, here), distance(average, start), distance(here, start)
                distances.append((seed, start.step, kind.name, kind.window, *apart))

        rates = bench.rates[start.step : start.step + schedule.steps] * schedule.multipliers
        try:
            advance(bench.model(), start, bench.stream(seed), rates.tolist(), bench.optimizer, [arrived, _tick])
        except DivergedError:
            for case in ends.values():
                scores.add(case.name, case.window, TRIP, None)
    columns = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
    return pd.DataFrame(scores.rows), pd.DataFrame(distances, columns=columns)


def averages_alone(bench: Bench, start: TrainState, seed: int) -> pd.DataFrame:
    """Scores of `side_trips` without trips, of the widest average of each kind alone."""
    scores = _Scores(bench, seed, start.step)
    follow(bench, start, seed, widest(cases(bench.config)), scores)
    return pd.DataFrame(scores.rows)


def along_main(scores: pd.DataFrame, config: Config) -> pd.DataFrame:
    """What scores tell of the main trajectory itself: momentary ones, and the widest average of each kind.

    Returns
    -------
    DataFrame
        seed, step, kernel ("none" for momentary), window_steps (that of the average), split, loss, accuracy.
    """
    ends = [("none", 0), *((case.name, case.window) for case in widest(cases(config)))]
    ends += [("none", window) for window in {window for _, window in ends} - {0}]
    kept = pd.MultiIndex.from_frame(scores[["kernel", "window_steps"]]).isin(ends)
    rows = scores[kept & (scores["model"] != TRIP)].assign(step=scores["branch"] + scores["window_steps"])
    return rows[["seed", "step", "kernel", "window_steps", "split", "loss", "accuracy"]]


def _tick(position: Position) -> None:
    if position.batch_loss is not None:
        report_progress()
