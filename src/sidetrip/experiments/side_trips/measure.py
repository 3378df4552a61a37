"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import pandas as pd
import torch

from sidetrip.data.packed import SPLITS
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, distance, restore, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position, advance, logits_of, loss_of
from sidetrip.experiments import evaluator
from sidetrip.experiments.side_trips.plan import (
    AVERAGE,
    BATCHES,
    DISTANCES,
    MOMENTARY,
    NO_KERNEL,
    SCORES,
    TRIP,
    Case,
    Look,
    cases,
    controls,
    looks,
    reference_batches,
    shared_trips,
    widest,
)
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step
from sidetrip.measure.averaging import AverageBank, RunningAverage

Key = tuple[str, int]  # name and window of a case


class Scores:
    """Rows of the table of one branch point."""

    def __init__(self, lab: Lab, seed: int, state: TrainState, branch: int) -> None:
        self._lab, self._seed, self._state, self.branch = lab, seed, state, branch
        self.rows: list[tuple[object, ...]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None, look: int = 0) -> None:
        """Score weights on both splits; None stands for a trip that diverged."""
        scores = {}
        if weights is not None:
            found = evaluator.scores(self._lab, with_weights(self._state, weights))
            scores = {split: (score.loss, score.accuracy) for split, score in found}
        for split in SPLITS:
            self._add(case, window, model, look, split, *scores.get(split, (math.nan, math.nan)))

    def add_on_batches(self, case: str, window: int, model: str, weights: Tensors) -> None:
        """Score weights on training batches as a step sees them: augmented, each normalised by its own statistics."""
        state = with_weights(self._state, weights)
        self._add(case, window, model, 0, BATCHES, *_on_batches(self._lab, self._seed, state))

    def _add(self, case: str, window: int, model: str, look: int, split: str, loss: float, accuracy: float) -> None:
        key = (self._seed, self.branch, case, window, model, look, split)
        self.rows.append((*key, loss, accuracy, not math.isfinite(loss)))

    def table(self) -> pd.DataFrame:
        """The rows so far."""
        return pd.DataFrame(self.rows, columns=SCORES)


@torch.no_grad()
def _on_batches(lab: Lab, seed: int, state: TrainState) -> tuple[float, float]:
    """Mean loss and accuracy over as many samples as `evaluation.train_samples`, in whole batches."""
    model = lab.model()
    restore(state, model)
    model.train()
    stream, precision = lab.stream(seed, "reference"), lab.optimizer.precision
    batches = reference_batches(lab.config)
    losses, right = [], []
    for step in range(1, batches + 1):
        batch = stream.batch(step)
        logits = logits_of(model, batch, precision)
        losses.append(loss_of(logits, batch.targets))
        right.append((logits.argmax(dim=-1) == batch.targets).double().mean())
    # Read once at the end: a GPU is not waited for at every batch.
    samples = batches * stream.batch_size
    lab.progress(samples)
    return sum(torch.stack(losses).tolist()) / batches, sum(torch.stack(right).tolist()) / batches


class Watched:
    """Observer of the main trajectory from one step on: scores every average, and the run at every look.

    Parameters
    ----------
    start : int
        Step that the windows begin with.
    averaged : iterable of (Case, Look)
        What to average, and up to where.
    looked_at : iterable of Look
        When to score the run itself.
    scores : Scores
        Takes what is found.
    finished : callable
        Of a case and the weights of its average over the whole window, once it is scored.
    """

    def __init__(
        self,
        start: int,
        averaged: Iterable[tuple[Case, Look]],
        looked_at: Iterable[Look],
        scores: Scores,
        finished: Callable[[Case, Tensors], None] = lambda case, weights: None,
    ) -> None:
        self._start, self._scores, self._finished = start, scores, finished
        self._upcoming = _by_step(looked_at)
        self._averaged = {RunningAverage(case.kernel.until(look.step), start): (case, look) for case, look in averaged}
        self._bank = AverageBank(list(self._averaged), self._score_average)

    def __call__(self, position: Position) -> None:
        """Take in a position; those before the start and after the windows are not its own."""
        self._bank(position)
        for look in self._upcoming.get(position.step - self._start, ()):
            position.check()
            self._scores.add(NO_KERNEL, look.window, MOMENTARY, position.weights, look.number)

    def _score_average(self, position: Position, average: RunningAverage) -> None:
        case, look = self._averaged[average]
        weights = average.weights()
        self._scores.add(case.name, case.window, AVERAGE, weights, look.number)
        if look.number == 0:
            self._finished(case, weights)


def _by_step(looked_at: Iterable[Look]) -> dict[int, list[Look]]:
    by_step: dict[int, list[Look]] = {}
    for look in looked_at:
        by_step.setdefault(look.step, []).append(look)
    return by_step


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The main trajectory carries the running averages of all kernels; every trip takes the same batches with
    momentum carried over.

    Returns
    -------
    side_trips : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip), look (0 at the end of the window, then
        further before it), split (train, validation; batches for the widest average of each method), loss, accuracy,
        diverged. The average of an earlier look is the one that the trip stands for there (`Kernel.until`). Momentary
        rows have the kernel "none", that of the branch point itself the window 0; negative controls have an average
        alone, at look 0.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    seed, start, compared = unit.seed, lab.branch_point(unit.seed, unit.step), cases(lab.config)
    false: dict[Key, list[Case]] = {}
    for control, true in controls(lab.config):
        false.setdefault((true.name, true.window), []).append(control)
    scores = Scores(lab, seed, start, start.step)
    averages: dict[Key, TrainState] = {}

    best = set(widest(compared))

    def keep(case: Case, weights: Tensors) -> None:
        averages[case.name, case.window] = with_weights(start, weights)
        if case in best:
            scores.add_on_batches(case.name, case.window, AVERAGE, weights)

    averaged = [(case, look) for case in compared for look in looks(lab.config, case)]
    averaged += [(control, control.end) for control in itertools.chain(*false.values())]
    main = Watched(start.step, averaged, looks(lab.config), scores, keep)
    rates = lab.rates[start.step : start.step + max(case.window for case in compared)].tolist()
    advance(lab.model(), start, lab.stream(seed), rates, lab.optimizer, [main, each_step(lab)])
    distances: list[tuple[object, ...]] = []

    def arrive(case: Case, position: Position) -> None:
        here = with_weights(start, position.weights)
        for kind in (case, *false.get((case.name, case.window), [])):
            average = averages[kind.name, kind.window]
            apart = distance(average, here), distance(average, start), distance(here, start)
            distances.append((seed, start.step, kind.name, kind.window, *apart))

    for schedule, passed in shared_trips(compared):
        upcoming = [(look.step, case, look) for case in passed for look in looks(lab.config, case)]

        def observe(position: Position, upcoming: list[tuple[int, Case, Look]] = upcoming) -> None:
            for entry in [entry for entry in upcoming if entry[0] == position.step - start.step]:
                position.check()
                upcoming.remove(entry)
                _, case, look = entry
                scores.add(case.name, case.window, TRIP, position.weights, look.number)
                if look.number == 0:
                    arrive(case, position)

        rates = (lab.rates[start.step : start.step + schedule.steps] * schedule.multipliers).tolist()
        observers: list[Observer] = [observe, each_step(lab)]
        try:
            advance(lab.model(), start, lab.stream(seed), rates, lab.optimizer, observers)
        except DivergedError:
            for _, case, look in upcoming:
                scores.add(case.name, case.window, TRIP, None, look.number)
    return {"side_trips": scores.table(), "distances": pd.DataFrame(distances, columns=DISTANCES)}
