"""Loss along one step, on the step's own batch and on held-out training batches (Fig. 2, 12, 13).

The paper steps along the plain gradient of one batch, with BatchNorm on the statistics of the batch
that a loss is taken on, as in training. Beside it stand the same with the statistics of the branch
point frozen, and the direction that the optimizer would take, momentum included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, restore
from sidetrip.engine.training import Optimizer, batch_loss
from sidetrip.experiments.sweep import BATCH, MOMENTUM, measured_settings, step_sizes

OWN, HELD_OUT = "own", "held_out"

Batch = tuple[Tensor, Tensor]
Direction = list[Tensor]


def mean_loss(model: nn.Module, parts: Sequence[Batch], precision: str) -> float:
    """Mean loss of a batch that comes in parts of equal size."""
    with torch.no_grad():
        return sum(float(batch_loss(model, part, precision)) for part in parts) / len(parts)


def mean_gradient(model: nn.Module, parts: Sequence[Batch], precision: str) -> Direction:
    """Plain gradient of `mean_loss`, in the order of the parameters."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for part in parts:
        gradient = torch.autograd.grad(batch_loss(model, part, precision), parameters)
        torch._foreach_add_(total, gradient, alpha=1.0 / len(parts))
    return total


@dataclass(frozen=True)
class Parabola:
    """Second-order expansion of the loss at step size 0: loss + slope λ + ½ curvature λ².

    For the plain gradient g the slope is -gᵀg and the curvature gᵀHg.
    """

    loss: float
    slope: float
    curvature: float


def expand(model: nn.Module, parts: Sequence[Batch], direction: Direction, precision: str) -> Parabola:
    """Slope and curvature of `mean_loss` along a step against `direction`, exact.

    The curvature dᵀHd comes from a Hessian-vector product (Pearlmutter, "Fast exact multiplication by
    the Hessian", 1994, DOI 10.1162/neco.1994.6.1.147).
    """
    parameters = list(model.parameters())
    loss = slope = curvature = 0.0
    for part in parts:
        value = batch_loss(model, part, precision)
        gradient = torch.autograd.grad(value, parameters, create_graph=True)
        along = _dot(gradient, direction)
        # A parameter that the gradient does not depend on (a last bias of a linear loss) has no second derivative.
        product = torch.autograd.grad(along, parameters, allow_unused=True, materialize_grads=True)
        loss += float(value.detach())
        slope -= float(along.detach())
        curvature += float(_dot(product, direction))
    return Parabola(loss / len(parts), slope / len(parts), curvature / len(parts))


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)]).sum()


def applied_direction(gradient: Direction, state: TrainState, names: Sequence[str], optimizer: Optimizer) -> Direction:
    """What SGD would subtract, λ aside: μ v + g + wd θ, with the momentum buffers v of the branch point."""
    return [
        optimizer.momentum * state.momentum[name] + g + optimizer.weight_decay * state.weights[name]
        for name, g in zip(names, gradient, strict=True)
    ]


def measure(lab: Lab, state: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Measure one branch point.

    A batch of more than `single_step.chunk` samples goes through the network in chunks of that size,
    each normalised by its own statistics, its loss and gradient their mean; held-out batches never
    hold more than one chunk.

    Parameters
    ----------
    lab : Lab
        Data and settings.
    state : TrainState
        The branch point; not changed.
    seed : int
        Of the run.

    Returns
    -------
    single_step : DataFrame
        seed, branch, batch_size, direction, batchnorm, step_size, batch (own or held_out), index (of
        the held-out batch; 0 for the own), loss.
    curvature : DataFrame
        seed, branch, batch_size, direction, batchnorm, loss, slope, curvature: of the own batch at
        step size 0; for batches that go through the network at once.
    """
    settings, precision = lab.config.single_step, lab.optimizer.precision
    model = lab.model()
    restore(state, model)
    names = [name for name, _ in model.named_parameters()]
    sizes = step_sizes(settings.points, settings.widest, settings.zoom)
    curves, curvatures = [], []
    for size in settings.batch_sizes:
        # One epoch of one stream: the own batch and the held-out ones share no sample.
        stream = lab.stream(seed, f"single_step/{state.step}", min(size, settings.chunk))
        chunks = size // stream.batch_size
        parts = [stream.batch(step) for step in range(1, chunks + settings.held_out_batches + 1)]
        batches = [parts[:chunks], *([part] for part in parts[chunks:])]
        for direction, batchnorm in measured_settings(size, settings):
            restore(state, model)
            model.train(batchnorm == BATCH)
            along = mean_gradient(model, batches[0], precision)
            if direction == MOMENTUM:
                along = applied_direction(along, state, names, lab.optimizer)
            key = (seed, state.step, size, direction, batchnorm)
            if chunks == 1:  # exact second derivatives take as long as some 16 forward passes
                parabola = expand(model, batches[0], along, precision)
                curvatures.append((*key, parabola.loss, parabola.slope, parabola.curvature))
            for step_size in sizes:
                _move(model, state, along, float(step_size))
                for index, batch in enumerate(batches):
                    loss = mean_loss(model, batch, precision)
                    curves.append((*key, step_size, HELD_OUT if index else OWN, index, loss))
                lab.report(size + settings.held_out_batches * stream.batch_size)
    keys = ["seed", "branch", "batch_size", "direction", "batchnorm"]
    return {
        "single_step": pd.DataFrame(curves, columns=[*keys, "step_size", "batch", "index", "loss"]),
        "curvature": pd.DataFrame(curvatures, columns=[*keys, "loss", "slope", "curvature"]),
    }


@torch.no_grad()
def _move(model: nn.Module, state: TrainState, direction: Direction, step_size: float) -> None:
    for (name, parameter), d in zip(model.named_parameters(), direction, strict=True):
        parameter.copy_(state.weights[name] - step_size * d)
