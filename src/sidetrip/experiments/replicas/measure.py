"""Replicas of averages and trips: from one branch point, on batches that each of them has for itself.

The loss of the mean of their weights has lost the noise that the batches since the branch point made. So what average
and trip differ by comes apart: into that noise, and into where the two lie without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import pandas as pd
import torch

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position, Stream, advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.replicas.plan import MEANS, REPLICAS, compared, windows
from sidetrip.experiments.side_trips.plan import AVERAGE, MOMENTARY, NO_KERNEL, TRIP, longest, shared_trips
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage

Key = tuple[str, int, str]  # kernel, window in steps, model


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Score every average, trip and momentary model of every replica, and the mean of each over the replicas.

    Returns
    -------
    replicas : DataFrame
        seed, branch, kernel, window_steps, model (momentary, whose kernel is "none", average, trip), replica, split,
        loss, accuracy. What a run has diverged before is missing.
    replica_means : DataFrame
        The same but for `replica`: of the mean of their weights; missing where one of them is.
    """
    start, number = lab.branch_point(unit.seed, unit.step), lab.config.replicas.number
    rows: list[tuple[object, ...]] = []
    sums: dict[Key, Tensors] = {}
    count: dict[Key, int] = {}
    for replica in range(number):
        stream = lab.stream(unit.seed, f"replicas/{unit.step}/{replica}")
        for key, weights in _replica(lab, start, stream).items():
            rows += [(unit.seed, unit.step, *key, replica, *score) for score in _scores(lab, start, weights)]
            total = sums.setdefault(key, {name: torch.zeros_like(w, dtype=torch.double) for name, w in weights.items()})
            for name, w in weights.items():
                total[name] += w
            count[key] = count.get(key, 0) + 1
    means: list[tuple[object, ...]] = []
    for key, total in sums.items():
        if count[key] == number:
            mean = {name: (values / number).to(start.weights[name].dtype) for name, values in total.items()}
            means += [(unit.seed, unit.step, *key, *score) for score in _scores(lab, start, mean)]
    return {"replicas": pd.DataFrame(rows, columns=REPLICAS), "replica_means": pd.DataFrame(means, columns=MEANS)}


def _scores(lab: Lab, start: TrainState, weights: Tensors) -> Iterator[tuple[str, float, float]]:
    """Split, loss and accuracy of weights."""
    for split, score in evaluator.scores(lab, with_weights(start, weights)):
        yield split, score.loss, score.accuracy


def _replica(lab: Lab, start: TrainState, stream: Stream) -> dict[Key, Tensors]:
    """Weights of all models of one replica."""
    found: dict[Key, Tensors] = {}
    cases = compared(lab.config)
    of_case = {RunningAverage(case.kernel, start.step): case for case in cases}

    def average_ends(position: Position, average: RunningAverage) -> None:
        found[(*of_case[average].key, AVERAGE)] = average.weights()

    run = Schedule.constant(longest(lab.config))
    looks = {window: [(NO_KERNEL, window, MOMENTARY)] for window in windows(lab.config)}
    _take(lab, start, stream, run, [AverageBank(list(of_case), average_ends), _keeping(found, start.step, looks)])
    for schedule, passed in shared_trips(cases):
        ends: dict[int, list[Key]] = {}
        for case in passed:
            ends.setdefault(case.window, []).append((*case.key, TRIP))
        _take(lab, start, stream, schedule, [_keeping(found, start.step, ends)])
    return found


def _keeping(found: dict[Key, Tensors], start: int, keys: dict[int, list[Key]]) -> Observer:
    """Observer that copies the weights, so many steps after the branch point, under all of the keys there."""

    def keep(position: Position) -> None:
        for key in keys.get(position.step - start, ()):
            position.check()
            found[key] = {name: w.clone() for name, w in position.weights.items()}

    return keep


def _take(lab: Lab, start: TrainState, stream: Stream, schedule: Schedule, observers: Sequence[Observer]) -> None:
    """Leave the branch point along a schedule; a run that diverges ends there."""
    rates = (lab.rates[start.step : start.step + schedule.steps] * schedule.multipliers).tolist()
    with suppress(DivergedError):
        advance(lab.model(), start, stream, rates, lab.optimizer, [*observers, each_step(lab)])
