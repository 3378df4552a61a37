"""Replicas from one branch point: each has its own batch sequence, which its run, averages and trips share.

The loss of the mean of their weights has lost most of the noise that the batches since the branch point made. So what
average and trip differ by comes apart: into that noise, and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pandas as pd
import torch

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position, Stream, advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.replicas.plan import AS_FAR, MEANS, REPLICAS, as_far, compared, windows
from sidetrip.experiments.side_trips.plan import AVERAGE, MOMENTARY, NO_KERNEL, TRIP, longest, shared_trips
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage

Key = tuple[str, int, str]  # kernel, window in steps, model


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Score every model of every replica, and the mean of its weights over the replicas.

    Returns
    -------
    replicas : DataFrame
        seed, branch, kernel, window_steps, model (momentary: the run at the end of the window, its kernel "none";
        average; trip; as_far: the run where its rates add up to those of the trip), replica, split, loss, accuracy.
        Models that a diverged run did not reach are missing.
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
            scores = _scores(lab, start, weights)
            rows += [(unit.seed, unit.step, *key, replica, *score) for score in scores]
            total = sums.setdefault(key, {name: torch.zeros_like(w, dtype=torch.double) for name, w in weights.items()})
            for name, w in weights.items():
                total[name] += w
            count[key] = count.get(key, 0) + bool(scores)
    means: list[tuple[object, ...]] = []
    for key, total in sums.items():
        if count[key] == number:
            mean = {name: (values / number).to(start.weights[name].dtype) for name, values in total.items()}
            means += [(unit.seed, unit.step, *key, *score) for score in _scores(lab, start, mean)]
    return {"replicas": pd.DataFrame(rows, columns=REPLICAS), "replica_means": pd.DataFrame(means, columns=MEANS)}


def _scores(lab: Lab, start: TrainState, weights: Tensors) -> list[tuple[str, float, float]]:
    """Split, loss and accuracy of weights; nothing where a loss is not finite."""
    found = [
        (split, score.loss, score.accuracy) for split, score in evaluator.scores(lab, with_weights(start, weights))
    ]
    return found if all(math.isfinite(loss) for _, loss, _ in found) else []


def _replica(lab: Lab, start: TrainState, stream: Stream) -> dict[Key, Tensors]:
    """Weights of all models of one replica."""
    found: dict[Key, Tensors] = {}
    cases = compared(lab.config)
    of_case = {RunningAverage(case.kernel, start.step): case for case in cases}

    def average_ends(position: Position, average: RunningAverage) -> None:
        found[(*of_case[average].key, AVERAGE)] = average.weights()

    looks = {(NO_KERNEL, window, MOMENTARY): window for window in windows(lab.config)}
    looks |= {(*case.key, AS_FAR): as_far(case) for case in cases}
    run = Schedule.constant(longest(lab.config))
    _take(lab, start, stream, run, [AverageBank(list(of_case), average_ends), _keeping(found, start.step, looks)])
    for schedule, passed in shared_trips(cases):
        ends = {(*case.key, TRIP): case.window for case in passed}
        _take(lab, start, stream, schedule, [_keeping(found, start.step, ends)])
    return found


def _keeping(found: dict[Key, Tensors], start: int, looks: Mapping[Key, int]) -> Observer:
    """Observer that copies the weights, so many steps after the branch point, under each key."""

    def keep(position: Position) -> None:
        for key in [key for key, steps in looks.items() if steps == position.step - start]:
            position.check()
            found[key] = {name: w.clone() for name, w in position.weights.items()}

    return keep


def _take(lab: Lab, start: TrainState, stream: Stream, schedule: Schedule, observers: Sequence[Observer]) -> None:
    """Leave the branch point along a schedule; a run that diverges ends there."""
    rates = (lab.rates[start.step : start.step + schedule.steps] * schedule.multipliers).tolist()
    with suppress(DivergedError):
        advance(lab.model(), start, stream, rates, lab.optimizer, [*observers, each_step(lab)])
