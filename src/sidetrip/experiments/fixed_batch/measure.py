"""Full-gradient steps on one fixed batch from two points of the main trajectory (Fig. 3)."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar

from sidetrip.engine.batch import Batch
from sidetrip.engine.gradients import gradient, step_against
from sidetrip.engine.lab import Lab
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import TrainState, lerp, restore
from sidetrip.engine.training import DivergedError, advance, batch_loss
from sidetrip.experiments.fixed_batch.plan import COLUMNS, HALVINGS, FixedBatch, work

CLOSE = 0.03  # relative distance from the best step size that is near enough


class FixedStream:
    """A stream whose every batch is the same one, with the same random masks: one function goes downhill."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batch(self, step: int) -> Batch:
        """The batch, whatever the step."""
        return self._batch


def common_step_size(lab: Lab, states: Sequence[TrainState], batch: Batch) -> float:
    """The step size that takes the mean loss of the batch lowest, over plain gradient steps from all of the states.

    Halvings of `fixed_batch.widest` are tried first, then the best one's neighbourhood by Brent's method.
    """
    model, precision = lab.model().train(), lab.optimizer.precision
    directions = []
    for state in states:
        restore(state, model)
        directions.append(gradient(batch_loss(model, batch, precision), model))

    @torch.no_grad()
    def loss_after(step_size: float) -> float:
        losses = []
        for state, direction in zip(states, directions, strict=True):
            step_against(model, state.weights, direction, step_size)
            losses.append(float(batch_loss(model, batch, precision)))
        return sum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.inf

    tried = [lab.config.fixed_batch.widest * 0.5**halvings for halvings in range(HALVINGS)]
    best = min(tried, key=loss_after)
    found = minimize_scalar(loss_after, bounds=(0.5 * best, 2.0 * best), options={"xatol": CLOSE * best})
    return float(found.x) if found.fun < loss_after(best) else best


def train_together(
    lab: Lab, ends: Sequence[TrainState], batch: Batch
) -> Iterator[tuple[float, Sequence[TrainState] | None]]:
    """Yield the step size and the states after 0, 1, ... plain gradient steps on one batch; None once one diverged."""
    plain = SGD(precision=lab.optimizer.precision)
    states: Sequence[TrainState] | None = ends
    yield 0.0, states
    for _ in range(lab.config.fixed_batch.steps):
        step_size = math.nan
        if states is not None:
            step_size = common_step_size(lab, states, batch)
            try:
                states = [advance(lab.model(), state, FixedStream(batch), [step_size], plain) for state in states]
            except DivergedError:
                states = None
        yield step_size, states


def measure(lab: Lab, unit: FixedBatch) -> dict[str, pd.DataFrame]:
    """Losses on the lines between two runs on the same fixed batch, after each number of steps.

    Both take steps of the same size, found by a line search at each step, along the plain gradient.

    Returns
    -------
    fixed_batch : DataFrame
        seed, branch, later_branch (of the second run), pair (run; initialisations: the second run is another seed's),
        fixed_batch (its number), step_size (of the step that led here; 0 before the first), steps, alpha (0 at the
        run from the earlier point), batch (own, held_out), loss (empty where a run has diverged). BatchNorm in
        training mode.
    """
    start, later = lab.branch_point(unit.seed, unit.step), lab.branch_point(unit.other_seed, unit.other_step)
    stream, precision = lab.stream(unit.seed, f"fixed_batch/{unit.step}"), lab.optimizer.precision
    batches = {"own": stream.batch(2 * unit.number + 1), "held_out": stream.batch(2 * unit.number + 2)}
    model, rows = lab.model().train(), []
    share = work(lab.config, unit).passes // (lab.config.fixed_batch.steps + 1)
    for steps, (step_size, states) in enumerate(train_together(lab, (start, later), batches["own"])):
        lab.progress(share)
        for alpha in np.linspace(0.0, 1.0, lab.config.fixed_batch.points):
            losses = dict.fromkeys(batches, math.nan)
            if states is not None:
                restore(lerp(states[0], states[1], float(alpha)), model)
                with torch.no_grad():
                    losses = {name: float(batch_loss(model, batch, precision)) for name, batch in batches.items()}
            key = (unit.seed, unit.step, unit.other_step, unit.pair, unit.number, step_size, steps, float(alpha))
            rows += [(*key, name, loss) for name, loss in losses.items()]
    return {"fixed_batch": pd.DataFrame(rows, columns=COLUMNS)}
