"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from sidetrip.data.packed import SPLITS
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, distance, restore, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position, advance, each_step, logits_of
from sidetrip.experiments.cases import Case, Look, cases, controls, looks, shared_trips
from sidetrip.experiments.evaluator import evaluator
from sidetrip.measure.averaging import AverageBank, RunningAverage

MOMENTARY, AVERAGE, TRIP = "momentary", "average", "trip"
BATCHES = "batches"  # beside the splits: augmented training batches, normalised by their own statistics

Key = tuple[str, int]  # name and window of a case


class Scores:
    """Rows of the table of one branch point."""

    def __init__(self, lab: Lab, seed: int, start: TrainState) -> None:
        self._lab, self._seed, self._start = lab, seed, start
        self._evaluate = evaluator(lab)
        self.rows: list[dict[str, object]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None, look: int = 0) -> None:
        """Score weights on both splits; None stands for a trip that diverged."""
        scores = {}
        if weights is not None:
            found = self._evaluate(with_weights(self._start, weights))
            scores = {split: (score.loss, score.accuracy) for split, score in found}
        for split in SPLITS:
            self._add(case, window, model, look, split, *scores.get(split, (math.nan, math.nan)))

    def add_on_batches(self, case: str, window: int, model: str, weights: Tensors) -> None:
        """Score weights on training batches as a step sees them: augmented, each normalised by its own statistics."""
        state = with_weights(self._start, weights)
        self._add(case, window, model, 0, BATCHES, *_on_batches(self._lab, self._seed, state))

    def _add(self, case: str, window: int, model: str, look: int, split: str, loss: float, accuracy: float) -> None:
        self.rows.append(
            {
                "seed": self._seed,
                "branch": self._start.step,
                "kernel": case,
                "window_steps": window,
                "model": model,
                "look": look,
                "split": split,
                "loss": loss,
                "accuracy": accuracy,
                "diverged": not math.isfinite(loss),
            }
        )


@torch.no_grad()
def _on_batches(lab: Lab, seed: int, state: TrainState) -> tuple[float, float]:
    """Mean loss and accuracy over as many samples as `evaluation.train_samples`, in whole batches."""
    model = lab.model()
    restore(state, model)
    model.train()
    stream, precision = lab.stream(seed, "reference"), lab.optimizer.precision
    batches = max(1, lab.config.evaluation.train_samples // stream.batch_size)
    losses, right = 0.0, 0
    for step in range(1, batches + 1):
        batch = stream.batch(step)
        logits = logits_of(model, batch, precision)
        losses += float(cross_entropy(logits, batch.labels))
        right += int((logits.argmax(dim=1) == batch.labels).sum())
    return losses / batches, right / (batches * stream.batch_size)


def follow(
    lab: Lab, start: TrainState, seed: int, averaged: list[Case], looked_at: Iterable[Look], scores: Scores
) -> dict[Key, TrainState]:
    """Follow the main trajectory through the windows of `averaged`: score every average, and the run at every look.

    Returns
    -------
    dict
        The averages, by name and window.
    """
    averages: dict[Key, TrainState] = {}
    names = {id(case.kernel): case for case in averaged}
    upcoming = _by_step(looked_at)

    def finished(position: Position, average: RunningAverage) -> None:
        case, weights = names[id(average.kernel)], average.weights()
        averages[case.name, case.window] = with_weights(start, weights)
        scores.add(case.name, case.window, AVERAGE, weights)
        scores.add_on_batches(case.name, case.window, AVERAGE, weights)

    def momentary(position: Position) -> None:
        for look in upcoming.get(position.step - start.step, ()):
            position.check()
            scores.add("none", look.window, MOMENTARY, position.weights, look.number)

    bank = AverageBank([RunningAverage(case.kernel, start.step) for case in averaged], finished)
    rates = lab.rates[start.step : start.step + max(case.window for case in averaged)]
    observers: list[Observer] = [bank, momentary, each_step(lab.report)]
    advance(lab.model(), start, lab.stream(seed), rates.tolist(), lab.optimizer, observers)
    return averages


def _by_step(looked_at: Iterable[Look]) -> dict[int, list[Look]]:
    by_step: dict[int, list[Look]] = {}
    for look in looked_at:
        by_step.setdefault(look.step, []).append(look)
    return by_step


def measure(lab: Lab, start: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The main trajectory carries the running averages of all kernels; every trip takes the same batches with
    momentum carried over.

    Returns
    -------
    side_trips : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip), look (0 at the end of the window, then
        further before it), split (train, validation; batches for averages), loss, accuracy, diverged. Momentary rows
        have the kernel "none", that of the branch point itself the window 0; negative controls have an average alone.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    compared = cases(lab.config)
    false: dict[Key, list[Case]] = {}
    for control, true in controls(lab.config):
        false.setdefault((true.name, true.window), []).append(control)
    scores = Scores(lab, seed, start)
    averages = follow(lab, start, seed, [*compared, *itertools.chain(*false.values())], looks(lab.config), scores)
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

        rates = lab.rates[start.step : start.step + schedule.steps] * schedule.multipliers
        observers: list[Observer] = [observe, each_step(lab.report)]
        try:
            advance(lab.model(), start, lab.stream(seed), rates.tolist(), lab.optimizer, observers)
        except DivergedError:
            for _, case, look in upcoming:
                scores.add(case.name, case.window, TRIP, None, look.number)
    columns = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
    return {"side_trips": pd.DataFrame(scores.rows), "distances": pd.DataFrame(distances, columns=columns)}
