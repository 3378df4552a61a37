"""Gradients of fixed batches along side trips (Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.engine.batch import Batch
from sidetrip.engine.gradients import gradient
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, restore
from sidetrip.engine.training import DivergedError, advance, batch_loss
from sidetrip.experiments.alignment.plan import ALONG, BETWEEN, CONSTANT, LINEAR, MEASURED, looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step, training
from sidetrip.kernels import Schedule


def inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Inner product of two gradients, accumulated in float64 on their device."""
    return float(torch.stack([(x.double() * y.double()).sum() for x, y in zip(a, b, strict=True)]).sum())


class Gradient:
    """The gradient of a batch, with its Euclidean norm, accumulated in float64."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts, self.norm = parts, math.sqrt(inner(parts, parts))


def cosine(a: Gradient, b: Gradient) -> float:
    """Cosine of the angle between two gradients, accumulated in float64; NaN where one is 0, which has no direction."""
    norms = a.norm * b.norm
    return inner(a.parts, b.parts) / norms if norms else math.nan


class _Trip:
    """A trip that is advanced from look to look; None once it has diverged."""

    def __init__(self, lab: Lab, start: TrainState, seed: int, rates: Sequence[float]) -> None:
        self._lab, self._start, self._rates = lab, start.step, rates
        self._stream, self._model = lab.stream(seed), lab.model()
        self._copy = lab.model()
        self.state: TrainState | None = start

    def advance_to(self, step: int) -> None:
        """Go on to a step after the branch point."""
        if self.state is None:
            return
        rates = self._rates[self.state.step - self._start : step]
        observers = [each_step(self._lab)]
        try:
            self.state = advance(self._model, self.state, self._stream, rates, self._lab.optimizer, observers)
        except DivergedError:
            self.state = None

    def gradient(self, batch: Batch) -> tuple[float, Gradient]:
        """Mean loss of a batch at the trip's weights, and its gradient; on a copy, so the trip is not touched."""
        assert self.state is not None
        restore(self.state, self._copy)
        self._lab.progress(training(self._lab.config, 1).passes)
        return loss_and_gradient(self._copy.train(), batch, self._lab.optimizer.precision)

    def training_gradient(self) -> tuple[float, Gradient]:
        """Mean loss and gradient of the batch that the next step takes."""
        assert self.state is not None
        return self.gradient(self._stream.batch(self.state.step + 1))


def loss_and_gradient(model: nn.Module, batch: Batch, precision: str) -> tuple[float, Gradient]:
    """Mean loss of a batch and its gradient, in the order of the parameters."""
    loss = batch_loss(model, batch, precision)
    return float(loss.detach()), Gradient(gradient(loss, model))


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Follow a constant and a linearly decaying trip from one branch point, side by side.

    Gradients are compared as they are taken; none but the first of each fixed batch is kept.

    Returns
    -------
    alignment : DataFrame
        seed, branch, trip (constant, linear), trip_step, fixed_batch (its number, from 0), fixed_cosine (of the fixed
        batch's gradient with its first value), different_batches_cosine (fixed with training batch, same weights),
        fixed_norm, training_norm, fixed_loss, training_loss, diverged (the measures are then empty).
    between_trips : DataFrame
        seed, branch, trip_step, fixed_batch, fixed_cosine, training_cosine: between the two trips at equal step.
    """
    seed, start, steps = unit.seed, lab.branch_point(unit.seed, unit.step), lab.config.alignment.steps
    rates = lab.rates[start.step : start.step + steps]
    decayed = rates * Schedule.linear(steps).multipliers
    trips = {name: _Trip(lab, start, seed, r.tolist()) for name, r in ((CONSTANT, rates), (LINEAR, decayed))}
    stream = lab.stream(seed, f"alignment/{start.step}")
    fixed = [stream.batch(number + 1) for number in range(lab.config.alignment.fixed_batches)]
    firsts: dict[int, Gradient] = {}
    along: list[tuple[object, ...]] = []
    between: list[tuple[object, ...]] = []
    for step in looks(lab.config):
        for trip in trips.values():
            trip.advance_to(step)
        training = {name: trip.training_gradient() for name, trip in trips.items() if trip.state is not None}
        for number, batch in enumerate(fixed):
            seen: list[Gradient] = []
            for name, trip in trips.items():
                if trip.state is None:
                    along.append((seed, start.step, name, step, number, *[math.nan] * len(MEASURED), True))
                    continue
                fixed_loss, mine = trip.gradient(batch)
                training_loss, theirs = training[name]
                angles = cosine(mine, firsts.setdefault(number, mine)), cosine(mine, theirs)
                row = (*angles, mine.norm, theirs.norm, fixed_loss, training_loss, False)
                along.append((seed, start.step, name, step, number, *row))
                seen.append(mine)
            if len(seen) == len(trips):
                angles = cosine(*seen), cosine(*(found for _, found in training.values()))
                between.append((seed, start.step, step, number, *angles))
    return {
        "alignment": pd.DataFrame(along, columns=ALONG),
        "between_trips": pd.DataFrame(between, columns=BETWEEN),
    }
