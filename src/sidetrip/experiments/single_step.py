"""Loss along one gradient step, on the step's own batch and on held-out training batches (Fig. 2, 12, 13).

The step is along the plain gradient of one batch, not along the momentum buffer. BatchNorm uses the
statistics of the batch that the loss is taken on, as in training.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.experiments.bench import Bench
from sidetrip.runtime.executor import report_progress
from sidetrip.state import TrainState, restore
from sidetrip.training import batch_loss

OWN, HELD_OUT = "own", "held_out"


def step_sizes(points: int, widest: float, zoom: float) -> dict[str, np.ndarray]:
    """Step sizes λ of the wide and of the zoomed range, both from 0."""
    return {"wide": np.linspace(0.0, widest, points), "zoom": np.linspace(0.0, zoom, points)}


def plain_gradient(model: nn.Module, batch: tuple[Tensor, Tensor], precision: str) -> list[Tensor]:
    """Gradient of the batch's mean loss, in the order of the parameters."""
    return list(torch.autograd.grad(batch_loss(model, batch, precision), list(model.parameters())))


def single_step(bench: Bench, state: TrainState, seed: int) -> pd.DataFrame:
    """Measure one branch point.

    Parameters
    ----------
    bench : Bench
        Data and settings.
    state : TrainState
        The branch point; not changed.
    seed : int
        Of the run.

    Returns
    -------
    DataFrame
        seed, branch, batch_size, range, step_size, batch (own or held_out), index (of the held-out
        batch; 0 for the own), loss.
    """
    settings, precision = bench.config.single_step, bench.optimizer.precision
    model = bench.model()
    restore(state, model)
    model.train()
    parameters = list(model.parameters())
    start = [p.detach().clone() for p in parameters]
    rows = []
    for size in settings.batch_sizes:
        # One epoch of one stream: the own batch and the held-out ones share no sample.
        stream = bench.stream(seed, f"single_step/{state.step}", size)
        batches = [stream.batch(step) for step in range(1, settings.held_out_batches + 2)]
        gradient = plain_gradient(model, batches[0], precision)
        for label, sizes in step_sizes(settings.points, settings.widest, settings.zoom).items():
            for step_size in sizes:
                with torch.no_grad():
                    for p, w, g in zip(parameters, start, gradient, strict=True):
                        p.copy_(w - float(step_size) * g)
                    losses = [float(batch_loss(model, batch, precision)) for batch in batches]
                for index, loss in enumerate(losses):
                    rows.append((seed, state.step, size, label, step_size, HELD_OUT if index else OWN, index, loss))
                report_progress(size)
        with torch.no_grad():
            for p, w in zip(parameters, start, strict=True):
                p.copy_(w)
    columns = ["seed", "branch", "batch_size", "range", "step_size", "batch", "index", "loss"]
    return pd.DataFrame(rows, columns=columns)
