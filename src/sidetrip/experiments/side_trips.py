"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
import math

import pandas as pd

from sidetrip.data.packed import SPLITS
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, distance, with_weights
from sidetrip.engine.training import DivergedError, Position, advance, each_step
from sidetrip.experiments.cases import Case, cases, controls, shared_trips
from sidetrip.experiments.evaluator import evaluator
from sidetrip.measure.averaging import AverageBank, RunningAverage

MOMENTARY, AVERAGE, TRIP = "momentary", "average", "trip"

Key = tuple[str, int]  # name and window of a case


class Scores:
    """Rows of the table of one branch point."""

    def __init__(self, lab: Lab, seed: int, branch: int) -> None:
        self._seed, self._branch = seed, branch
        self._evaluate = evaluator(lab)
        self.rows: list[dict[str, object]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None) -> None:
        """Score weights; None stands for a trip that diverged."""
        scores = {s: (v.loss, v.accuracy) for s, v in self._evaluate(weights)} if weights is not None else {}
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


def follow(lab: Lab, start: TrainState, seed: int, averaged: list[Case], scores: Scores) -> dict[Key, TrainState]:
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
    rates = lab.rates[start.step : start.step + max(looks)]
    advance(
        lab.model(), start, lab.stream(seed), rates.tolist(), lab.optimizer, [bank, momentary, each_step(lab.report)]
    )
    return averages


def measure(lab: Lab, start: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The main trajectory carries the running averages of all kernels; every trip takes the same batches with
    momentum carried over.

    Returns
    -------
    side_trips : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip), split, loss, accuracy,
        diverged. Momentary rows have the kernel "none", that of the branch point itself the window 0;
        negative controls have an average alone.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    compared = cases(lab.config)
    false: dict[Key, list[Case]] = {(true.name, true.window): [] for _, true in controls(lab.config)}
    for control, true in controls(lab.config):
        false[true.name, true.window].append(control)
    scores = Scores(lab, seed, start.step)
    averages = follow(lab, start, seed, [*compared, *itertools.chain(*false.values())], scores)

    distances = []
    for schedule, cases_here in shared_trips(compared):
        ends = {start.step + case.window: case for case in cases_here}

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

        rates = lab.rates[start.step : start.step + schedule.steps] * schedule.multipliers
        try:
            advance(
                lab.model(), start, lab.stream(seed), rates.tolist(), lab.optimizer, [arrived, each_step(lab.report)]
            )
        except DivergedError:
            for case in ends.values():
                scores.add(case.name, case.window, TRIP, None)
    columns = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
    return {"side_trips": pd.DataFrame(scores.rows), "distances": pd.DataFrame(distances, columns=columns)}
