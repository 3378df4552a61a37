"""Gradients of a fixed batch along side trips (Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState
from sidetrip.engine.training import DivergedError, Position, advance, batch_loss
from sidetrip.kernels import Schedule

CONSTANT, LINEAR = "constant", "linear"
MEASURED = ("fixed_cosine", "different_batches_cosine", "fixed_norm", "training_norm", "fixed_loss", "training_loss")

Gradient = list[Tensor]


@dataclass(frozen=True)
class Look:
    """Loss and gradient of the fixed batch and of the training batch at one point of a trip."""

    fixed_loss: float
    fixed: Gradient
    training_loss: float
    training: Gradient


def loss_and_gradient(model: nn.Module, batch: tuple[Tensor, Tensor], precision: str) -> tuple[float, Gradient]:
    """Mean loss of a batch and its gradient, in the order of the parameters, kept in main memory."""
    loss = batch_loss(model, batch, precision)
    return float(loss.detach()), [g.cpu() for g in torch.autograd.grad(loss, list(model.parameters()))]


def norm(gradient: Gradient) -> float:
    """Euclidean norm, accumulated in float64."""
    return math.sqrt(sum(float(g.double().square().sum()) for g in gradient))


def cosine(a: Gradient, b: Gradient) -> float:
    """Cosine of the angle between two gradients, accumulated in float64."""
    product = sum(float((x.double() * y.double()).sum()) for x, y in zip(a, b, strict=True))
    return product / (norm(a) * norm(b))


def look_along(lab: Lab, start: TrainState, seed: int, rates: Sequence[float]) -> dict[int, Look]:
    """Advance on the main trajectory's batches and look every so often, by steps after the branch point.

    The training batch is the one that the next step takes. The trip itself is not touched: gradients
    are taken on another copy of the model.
    """
    settings, precision = lab.config.alignment, lab.optimizer.precision
    stream = lab.stream(seed)
    fixed, copy = lab.stream(seed, f"alignment/{start.step}").batch(1), lab.model()
    copy.train()
    parameters, looks = dict(copy.named_parameters()), {}

    def look(position: Position) -> None:
        if position.batch_loss is not None:
            lab.report(1)
        step = position.step - start.step
        if step % settings.every:
            return
        position.check()
        with torch.no_grad():
            for name, weight in position.weights.items():
                parameters[name].copy_(weight)
        now = loss_and_gradient(copy, fixed, precision)
        looks[step] = Look(*now, *loss_and_gradient(copy, stream.batch(position.step + 1), precision))
        lab.report(2)

    with suppress(DivergedError):
        advance(lab.model(), start, stream, rates, lab.optimizer, [look])
    return looks


def measures(look: Look, first: Look) -> tuple[float, ...]:
    """What `MEASURED` names, of a look and the first one of its trip."""
    return (
        cosine(look.fixed, first.fixed),
        cosine(look.fixed, look.training),
        norm(look.fixed),
        norm(look.training),
        look.fixed_loss,
        look.training_loss,
    )


def measure(lab: Lab, start: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Follow a constant and a linearly decaying trip from one branch point.

    Returns
    -------
    alignment : DataFrame
        seed, branch, trip (constant, linear), trip_step, fixed_cosine (of the fixed batch's gradient with
        its first value), different_batches_cosine (fixed with training batch, same weights), fixed_norm,
        training_norm, fixed_loss, training_loss, diverged (the measures are then empty).
    between_trips : DataFrame
        seed, branch, trip_step, fixed_cosine, training_cosine: between the two trips at equal step.
    """
    steps = lab.config.alignment.steps
    rates = lab.rates[start.step : start.step + steps]
    linear = rates * Schedule.linear(steps).multipliers
    trips = {name: look_along(lab, start, seed, r.tolist()) for name, r in ((CONSTANT, rates), (LINEAR, linear))}
    along = [
        (seed, start.step, trip, step, *measures(looks[step], looks[0]), False)
        if step in looks
        else (seed, start.step, trip, step, *[math.nan] * len(MEASURED), True)
        for trip, looks in trips.items()
        for step in range(0, steps + 1, lab.config.alignment.every)
    ]
    pairs = [(step, look, trips[LINEAR][step]) for step, look in trips[CONSTANT].items() if step in trips[LINEAR]]
    between = [
        (seed, start.step, step, cosine(a.fixed, b.fixed), cosine(a.training, b.training)) for step, a, b in pairs
    ]
    return {
        "alignment": pd.DataFrame(along, columns=["seed", "branch", "trip", "trip_step", *MEASURED, "diverged"]),
        "between_trips": pd.DataFrame(
            between, columns=["seed", "branch", "trip_step", "fixed_cosine", "training_cosine"]
        ),
    }
