"""Gradients of fixed batches along side trips (Fig. 7)."""

import math
from collections.abc import Sequence

import pandas as pd
from torch import Tensor, nn

from sidetrip.engine.batch import Batch
from sidetrip.engine.gradients import gradient, inner
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, restore
from sidetrip.engine.training import DivergedError, advance, batch_loss
from sidetrip.experiments.alignment.plan import ALONG, BETWEEN, MEASURED, looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step, training
from sidetrip.kernels import Schedule


class Gradient:
    """The gradient of a batch, with its Euclidean norm, accumulated in float64."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts, self.norm = parts, math.sqrt(float(inner(parts, parts)))


def cosine(a: Gradient, b: Gradient) -> float:
    """Cosine of the angle between two gradients, accumulated in float64; NaN where one is 0, which has no direction."""
    norms = a.norm * b.norm
    return float(inner(a.parts, b.parts)) / norms if norms else math.nan


def _gradient(lab: Lab, model: nn.Module, state: TrainState, batch: Batch) -> tuple[float, Gradient]:
    """Mean loss of a batch at the weights of a state, and its gradient."""
    restore(state, model)
    loss = batch_loss(model.train(), batch, lab.optimizer.precision)
    lab.progress(training(lab.config, 1).passes)
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
    trips = {"constant": rates.tolist(), "linear": decayed.tolist()}
    states = dict.fromkeys(trips, start)  # of the trips that have not diverged
    stream, others = lab.stream(seed), lab.stream(seed, f"alignment/{start.step}")
    fixed = [others.batch(number + 1) for number in range(lab.config.alignment.fixed_batches)]
    firsts: dict[int, Gradient] = {}
    model, taken = lab.model(), 0
    along: list[tuple[object, ...]] = []
    between: list[tuple[object, ...]] = []
    for step in looks(lab.config):
        for name, state in list(states.items()):
            try:
                states[name] = advance(model, state, stream, trips[name][taken:step], lab.optimizer, [each_step(lab)])
            except DivergedError:
                del states[name]
        taken, next_batch = step, stream.batch(start.step + step + 1)
        of_training = {name: _gradient(lab, model, state, next_batch) for name, state in states.items()}
        for number, batch in enumerate(fixed):
            seen: list[Gradient] = []
            for name in trips:
                if name not in states:
                    along.append((seed, start.step, name, step, number, *[math.nan] * len(MEASURED), True))
                    continue
                fixed_loss, mine = _gradient(lab, model, states[name], batch)
                training_loss, theirs = of_training[name]
                angles = cosine(mine, firsts.setdefault(number, mine)), cosine(mine, theirs)
                row = (*angles, mine.norm, theirs.norm, fixed_loss, training_loss, False)
                along.append((seed, start.step, name, step, number, *row))
                seen.append(mine)
            if len(seen) == len(trips):
                angles = cosine(*seen), cosine(*(found for _, found in of_training.values()))
                between.append((seed, start.step, step, number, *angles))
    return {
        "alignment": pd.DataFrame(along, columns=ALONG),
        "between_trips": pd.DataFrame(between, columns=BETWEEN),
    }
