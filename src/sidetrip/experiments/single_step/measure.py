"""Loss along one step, on the step's own batch and on held-out training batches (Fig. 2, 12, 13).

The paper steps along the plain gradient of one batch, with BatchNorm on the statistics of the batch
that a loss is taken on, as in training. Beside it stand the same with statistics frozen, recomputed for
the weights of the branch point, and the direction that the optimizer would take, momentum included.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sidetrip.config import SingleStep
from sidetrip.data.packed import SPLITS
from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import ieee_products
from sidetrip.engine.gradients import gradient, inner, step_against, twice_differentiable
from sidetrip.engine.lab import Lab
from sidetrip.engine.optimizers import next_direction
from sidetrip.engine.state import TrainState, restore, trained
from sidetrip.engine.streams import KeptBatches
from sidetrip.engine.training import DivergedError, advance, batch_loss
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.single_step import plan
from sidetrip.experiments.units import BranchPoint, Run
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule

Direction = list[Tensor]


def mean_loss(model: nn.Module, parts: Sequence[Batch], precision: str) -> float:
    """Mean loss of a batch that comes in parts of equal size."""
    with torch.no_grad():  # one number is read, however many parts: a GPU is waited for once
        return float(torch.stack([batch_loss(model, part, precision) for part in parts]).double().mean())


def mean_gradient(model: nn.Module, parts: Sequence[Batch], precision: str) -> Direction:
    """Plain gradient of `mean_loss`, in the order of the parameters that are trained."""
    total = [torch.zeros_like(p) for p in trained(model).values()]
    for part in parts:
        torch._foreach_add_(total, gradient(batch_loss(model, part, precision), model), alpha=1.0 / len(parts))
    return total


@dataclass(frozen=True)
class Parabola:
    """Second-order expansion of the loss at step size 0: loss + slope λ + ½ curvature λ².

    For the plain gradient g the slope is -gᵀg and the curvature gᵀHg.
    """

    loss: float
    slope: float
    curvature: float

    @property
    def optimum(self) -> float:
        """The step size at which it is lowest; where it has no lowest point, that of a curvature of the same size."""
        return -self.slope / abs(self.curvature) if self.slope and self.curvature else 1.0


def expand(model: nn.Module, parts: Sequence[Batch], direction: Direction, precision: str) -> Parabola:
    """Slope and curvature of `mean_loss` along a step against `direction`, exact.

    The curvature dᵀHd comes from a Hessian-vector product (Pearlmutter, "Fast exact multiplication by
    the Hessian", 1994, DOI 10.1162/neco.1994.6.1.147).
    """
    loss = slope = curvature = 0.0
    for part in parts:
        with twice_differentiable():
            value = batch_loss(model, part, precision)
        along = inner(gradient(value, model, differentiable=True), direction)
        loss += float(value.detach())
        slope -= float(along.detach())
        curvature += float(inner(gradient(along, model), direction))
    return Parabola(loss / len(parts), slope / len(parts), curvature / len(parts))


OF_OWN, OF_HELD_OUT, OF_ALL = slice(0, 1), slice(1, None), slice(None)  # of the batches of a line


class _Line:
    """Losses of several batches along one line of step sizes from a branch point, as rows."""

    def __init__(
        self, lab: Lab, model: nn.Module, state: TrainState, along: Direction, batches: Sequence[KeptBatches]
    ) -> None:
        self._lab, self._model, self._state, self._along, self._batches = lab, model, state, along, batches
        self.rows: list[tuple[object, ...]] = []  # range, step_size, batch, index, loss

    def take(self, name: str, size: float, which: slice = OF_ALL) -> list[float]:
        """Mean losses of some of the batches after a step of this size."""
        step_against(self._model, self._state.weights, self._along, size)
        batches = self._batches[which]
        losses = [mean_loss(self._model, batch, self._lab.optimizer.precision) for batch in batches]
        self._lab.progress(sum(batch.samples for batch in batches))
        for index, loss in enumerate(losses, start=which.start or 0):
            self.rows.append((name, size, "held_out" if index else "own", index, loss))
        return losses

    def sweep(self, settings: SingleStep) -> None:
        """Take steps over both ranges, and more where losses are lowest."""
        coarse = plan.coarse_step_sizes(settings)
        sizes = [size for _, size in coarse]
        losses = np.array([self.take(name, size) for name, size in coarse])
        own, near = losses[:, 0], plan.near_lowest(sizes, losses[:, 0])
        closer = [self.take("near_own", size, OF_OWN)[0] for size in near]
        for size in plan.near_lowest(sizes, losses[:, 1:].mean(axis=1)):
            self.take("near_held_out", size, OF_HELD_OUT)
        best = [*sizes, *near][int(np.argmin([*own, *closer]))]
        for size in np.linspace(0.0, plan.FIT_REACH * best, plan.FITTED).tolist():
            self.take("fit", size, OF_OWN)


def measure(lab: Lab, unit: BranchPoint | Run) -> dict[str, pd.DataFrame]:
    """Measure one branch point, or the loss of the decayed run that single steps are held against.

    A batch of more than `single_step.chunk` samples goes through the network in chunks of that size,
    each normalised by its own statistics, its loss and gradient their mean; held-out batches never
    hold more than one chunk.

    Returns
    -------
    single_step : DataFrame
        seed, branch, batch_size, own_batch (number), direction, batchnorm, range (wide, zoom: both kinds of batches;
        near_own, near_held_out: between the neighbours of the lowest loss; fit: evenly spaced, for parabolas;
        near_parabola: at multiples of the parabola's best step size),
        step_size, batch (own or held_out), index (of the held-out batch; 0 for the own), loss.
    curvature : DataFrame
        seed, branch, batch_size, own_batch, direction, batchnorm, loss, slope, curvature: of the own batch at
        step size 0; for batches of the run's own size, and those that go through the network at once.
    decayed_run : DataFrame
        seed, steps (of the decay), loss: mean over training batches, augmented and with BatchNorm in training mode, as
        a step sees them; none if it diverged.

    Frozen BatchNorm statistics are those of the branch point's weights, recomputed on training batches.
    """
    if isinstance(unit, Run):
        return {"decayed_run": _decayed_run(lab, unit)}
    settings, precision = lab.config.single_step, lab.optimizer.precision
    seed, state, model = unit.seed, lab.branch_point(unit.seed, unit.step), lab.model()
    frozen = evaluator(lab, SPLITS).recalibrated(state)
    curves: list[tuple[object, ...]] = []
    curvatures: list[tuple[object, ...]] = []
    for size in settings.batch_sizes:
        for own_batch, batches in enumerate(_batches(lab, state.step, seed, size)):
            for direction, batchnorm in plan.measured_settings(size, own_batch, state.step, lab.config):
                restore(state, model)
                if batchnorm == "frozen":
                    model.load_state_dict(frozen)
                set_training(model, batchnorm == "batch")
                along = mean_gradient(model, batches[0], precision)
                if direction == "momentum":
                    gradients = dict(zip(trained(model), along, strict=True))
                    along = list(next_direction(state, gradients, lab.optimizer).values())
                key = (seed, state.step, size, own_batch, direction, batchnorm)
                # Exact second derivatives take as long as some 16 forward passes.
                if len(batches[0]) == 1 or size == lab.config.burn_in.batch_size:
                    with ieee_products():  # in bfloat16 or TF32 second derivatives are off by per cents
                        parabola = expand(model, batches[0], along, "fp32")
                    curvatures.append((*key, parabola.loss, parabola.slope, parabola.curvature))
                line = _Line(lab, model, state, along, batches)
                if (direction, batchnorm) == ("gradient", "batch"):
                    line.sweep(settings)
                else:
                    for times in plan.VARIED:
                        line.take("near_parabola", times * parabola.optimum)
                curves += [(*key, *row) for row in line.rows]
    return {
        "single_step": pd.DataFrame(curves, columns=plan.SWEEP),
        "curvature": pd.DataFrame(curvatures, columns=plan.CURVATURE),
    }


def _decayed_run(lab: Lab, unit: Run) -> pd.DataFrame:
    steps, precision = lab.config.burn_in.steps, lab.optimizer.precision
    end, rates = lab.snapshot(unit.seed, steps), lab.config.burn_in.rate * Schedule.linear(steps).multipliers
    try:
        state = advance(lab.model(), end, lab.stream(unit.seed), rates.tolist(), lab.optimizer, [each_step(lab)])
    except DivergedError:
        return pd.DataFrame([(unit.seed, steps, math.nan)], columns=plan.REFERENCE)
    model, stream = lab.model().train(), lab.stream(unit.seed, "reference")
    restore(state, model)
    batches = [stream.batch(number + 1) for number in range(plan.reference_batches(lab.config))]
    loss = mean_loss(model, batches, precision)
    lab.progress(len(batches) * stream.batch_size)
    return pd.DataFrame([(unit.seed, steps, loss)], columns=plan.REFERENCE)


def set_training(model: nn.Module, by_batch: bool) -> None:
    """Training mode, random masks included, with BatchNorm on the statistics of the batch or on frozen ones."""
    for module in model.train().modules():
        if isinstance(module, _BatchNorm):
            module.train(by_batch)


def _batches(lab: Lab, step: int, seed: int, size: int) -> Iterator[list[KeptBatches]]:
    """Yield each own batch of a size with the held-out ones behind it, each as its chunks.

    All come from one epoch of one stream: no two share a sample.
    """
    settings = lab.config.single_step
    stream = lab.stream(seed, f"single_step/{step}", min(size, settings.chunk))
    chunks = size // stream.batch_size
    first = settings.own_batches * chunks
    held_out = [KeptBatches(stream, [number]) for number in range(first + 1, first + settings.held_out_batches + 1)]
    for own_batch in range(settings.own_batches):
        yield [KeptBatches(stream, range(own_batch * chunks + 1, (own_batch + 1) * chunks + 1)), *held_out]
