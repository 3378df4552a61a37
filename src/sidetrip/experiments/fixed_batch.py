"""Full-gradient steps on one fixed batch from two points of the main trajectory (Fig. 3)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, lerp, restore
from sidetrip.engine.training import DivergedError, Optimizer, Position, advance, batch_loss
from sidetrip.files import read_table

OWN, HELD_OUT = "own", "held_out"


class FixedStream:
    """A stream whose every batch is the same one."""

    def __init__(self, batch: tuple[Tensor, Tensor]) -> None:
        self._batch = batch

    def batch(self, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """The batch or a part of it, whatever the step."""
        pictures, labels = self._batch
        return pictures[part], labels[part]


def default_rate(single_step: pd.DataFrame, seed: int, branch: int) -> float:
    """Half the step size at which the own batch's loss is lowest in the sweep of a branch point.

    Of the smallest batch size, along the plain gradient, with BatchNorm as in training. The whole of it
    oscillates from the third step on.
    """
    rows = single_step[(single_step["seed"] == seed) & (single_step["branch"] == branch)]
    rows = rows[(rows["direction"] == "gradient") & (rows["batchnorm"] == "batch") & (rows["batch"] == OWN)]
    rows = rows[rows["batch_size"] == rows["batch_size"].min()]
    return 0.5 * float(rows.set_index("step_size")["loss"].idxmin())


def states_on(lab: Lab, start: TrainState, batch: tuple[Tensor, Tensor], rate: float) -> list[TrainState]:
    """States after 0, 1, ... plain gradient steps on one batch; fewer if the loss stops being finite."""
    states: list[TrainState] = []

    def keep(position: Position) -> None:
        states.append(position.state())
        lab.report(1)

    plain = Optimizer(momentum=0.0, weight_decay=0.0, precision=lab.optimizer.precision)
    with suppress(DivergedError):
        advance(lab.model(), start, FixedStream(batch), [rate] * lab.config.fixed_batch.steps, plain, [keep])
    return states


def measure(lab: Lab, start: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Losses on the lines between two runs on the same fixed batch, after each number of steps.

    One run starts from `start`, the other from the next branch point.

    Returns
    -------
    fixed_batch : DataFrame
        seed, branch, later_branch, rate, later_rate, steps, alpha (0 at the run from the earlier point), batch (own,
        held_out), loss (empty where a run has diverged). BatchNorm in training mode.
    """
    points = lab.config.branch.points
    later = lab.branch_point(seed, points[points.index(start.step) + 1])
    sweep = read_table(lab.runs / "single_step" / "single_step.csv")
    ends = start, later
    rates = [lab.config.fixed_batch.rate or default_rate(sweep, seed, end.step) for end in ends]
    first, second = ends
    settings, precision = lab.config.fixed_batch, lab.optimizer.precision
    stream = lab.stream(seed, f"fixed_batch/{first.step}")
    batches = {OWN: stream.batch(1), HELD_OUT: stream.batch(2)}
    runs = [states_on(lab, state, batches[OWN], rate) for state, rate in zip(ends, rates, strict=True)]
    model, rows = lab.model(), []
    for steps in range(settings.steps + 1):
        for alpha in np.linspace(0.0, 1.0, settings.points):
            losses = dict.fromkeys(batches, float("nan"))
            if all(steps < len(run) for run in runs):
                restore(lerp(runs[0][steps], runs[1][steps], float(alpha)), model)
                model.train()
                with torch.no_grad():
                    losses = {name: float(batch_loss(model, batch, precision)) for name, batch in batches.items()}
            rows += [(seed, first.step, second.step, *rates, steps, alpha, name, loss) for name, loss in losses.items()]
    columns = ["seed", "branch", "later_branch", "rate", "later_rate", "steps", "alpha", "batch", "loss"]
    return {"fixed_batch": pd.DataFrame(rows, columns=columns)}
