"""Replicas from one branch point: each has its own batch sequence, which its run, averages and trips share.

The loss of the mean of their weights has lost most of the noise that the batches since the branch point made. So what
average and trip differ by comes apart: into that noise, and the rest.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pandas as pd
import torch

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Loss, Observer, Position, Stream, batch_loss
from sidetrip.experiments import evaluator
from sidetrip.experiments.replicas.plan import MEANS, REPLICAS, as_far, compared, windows
from sidetrip.experiments.side_trips.plan import longest, shared_trips
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
    together = WeightMeans()
    for replica in range(number):
        stream = lab.stream(unit.seed, f"replicas/{unit.step}/{replica}")
        for key, weights in models(lab, start, stream).items():
            scores = finite_scores(lab, start, weights)
            rows += [(unit.seed, unit.step, *key, replica, *score) for score in scores]
            if scores:
                together.add(key, weights)
    means = [
        (unit.seed, unit.step, *key, *score)
        for key, mean in together.of(number, start.weights).items()
        for score in finite_scores(lab, start, mean)
    ]
    return {"replicas": pd.DataFrame(rows, columns=REPLICAS), "replica_means": pd.DataFrame(means, columns=MEANS)}


class WeightMeans:
    """Means of the weights of many runs, by key; summed in double precision."""

    def __init__(self) -> None:
        self._sums: dict[Key, Tensors] = {}
        self._count: dict[Key, int] = {}

    def add(self, key: Key, weights: Tensors) -> None:
        """Take in the weights of one run."""
        zeros = {name: torch.zeros_like(w, dtype=torch.double) for name, w in weights.items()}
        total = self._sums.setdefault(key, zeros)
        for name, w in weights.items():
            total[name] += w
        self._count[key] = self._count.get(key, 0) + 1

    def of(self, number: int, like: Tensors) -> dict[Key, Tensors]:
        """The means that so many runs went into, each tensor of the type that it has in `like`."""
        return {
            key: {name: (values / number).to(like[name].dtype) for name, values in total.items()}
            for key, total in self._sums.items()
            if self._count[key] == number
        }


def finite_scores(lab: Lab, start: TrainState, weights: Tensors) -> list[tuple[str, float, float]]:
    """Split, loss and accuracy of weights; nothing where a loss is not finite."""
    found = [
        (split, score.loss, score.accuracy) for split, score in evaluator.scores(lab, with_weights(start, weights))
    ]
    return found if all(math.isfinite(loss) for _, loss, _ in found) else []


def models(
    lab: Lab, start: TrainState, stream: Stream, loss: Loss = batch_loss, batches: int = 1
) -> dict[Key, Tensors]:
    """Weights of run, averages and trips from one branch point on one batch sequence.

    By kernel, window and model, without those that a diverged run did not reach. A step takes so many `batches`, which
    the progress counts.
    """
    found: dict[Key, Tensors] = {}
    cases = compared(lab.config)
    of_case = {RunningAverage(case.kernel, start.step): case for case in cases}

    def average_ends(position: Position, average: RunningAverage) -> None:
        found[(*of_case[average].key, "average")] = average.weights()

    def take(schedule: Schedule, observers: Sequence[Observer]) -> None:
        with suppress(DivergedError):
            lab.take_trip(start, stream, schedule, [*observers, each_step(lab, batches)], loss)

    looks = {("none", window, "momentary"): window for window in windows(lab.config)}
    looks |= {(*case.key, "as_far"): as_far(case) for case in cases}
    run = Schedule.constant(longest(lab.config))
    take(run, [AverageBank(list(of_case), average_ends), _keeping(found, start.step, looks)])
    for schedule, passed in shared_trips(cases):
        take(schedule, [_keeping(found, start.step, {(*case.key, "trip"): case.window for case in passed})])
    return found


def _keeping(found: dict[Key, Tensors], start: int, looks: Mapping[Key, int]) -> Observer:
    """Observer that copies the weights, so many steps after the branch point, under each key."""

    def keep(position: Position) -> None:
        for key in [key for key, steps in looks.items() if steps == position.step - start]:
            position.check()
            found[key] = {name: w.clone() for name, w in position.weights.items()}

    return keep
