"""Full-gradient steps on one fixed batch from two points of the main trajectory (Fig. 3)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sidetrip.experiments.bench import Bench
from sidetrip.runtime.executor import report_progress
from sidetrip.state import TrainState, lerp, restore
from sidetrip.training import DivergedError, Optimizer, Position, advance, batch_loss

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


def states_on(bench: Bench, start: TrainState, batch: tuple[Tensor, Tensor], rate: float) -> list[TrainState]:
    """States after 0, 1, ... plain gradient steps on one batch; fewer if the loss stops being finite."""
    states: list[TrainState] = []

    def keep(position: Position) -> None:
        states.append(position.state())
        report_progress()

    plain = Optimizer(momentum=0.0, weight_decay=0.0, precision=bench.optimizer.precision)
    with suppress(DivergedError):
        advance(bench.model(), start, FixedStream(batch), [rate] * bench.config.fixed_batch.steps, plain, [keep])
    return states


def fixed_batch(
    bench: Bench, ends: tuple[TrainState, TrainState], rates: tuple[float, float], seed: int
) -> pd.DataFrame:
    """Losses on the lines between two runs on the same fixed batch, after each number of steps.

    Parameters
    ----------
    bench : Bench
        Data and settings.
    ends : pair of TrainState
        θ_t and θ_{t+Δ}; not changed.
    rates : pair of float
        Step size of the run from each.
    seed : int
        Of the run.

    Returns
    -------
    DataFrame
        seed, branch, later_branch, rate, later_rate, steps, alpha (0 at the run from θ_t), batch (own,
        held_out), loss (empty where a run has diverged). BatchNorm in training mode.
    """
    first, second = ends
    settings, precision = bench.config.fixed_batch, bench.optimizer.precision
    stream = bench.stream(seed, f"fixed_batch/{first.step}")
    batches = {OWN: stream.batch(1), HELD_OUT: stream.batch(2)}
    runs = [states_on(bench, state, batches[OWN], rate) for state, rate in zip(ends, rates, strict=True)]
    model, rows = bench.model(), []
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
    return pd.DataFrame(rows, columns=columns)
