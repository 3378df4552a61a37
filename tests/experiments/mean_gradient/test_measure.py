"""Both means against runs written out; on a quadratic loss they are one."""

import pytest
import torch
from torch import nn

from sidetrip.engine.batch import Batch
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import TrainState, restore, with_weights
from sidetrip.engine.training import advance, batch_loss
from sidetrip.experiments import evaluator
from sidetrip.experiments.fixed_batch.measure import FixedStream
from sidetrip.experiments.mean_gradient.measure import Together, loss_of_all, measure
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Schedule


def by_hand(lab, streams, rates):
    """Weights after steps on the mean of the gradients of the batches of many streams, each taken by itself."""
    state = lab.branch_point(0, 30)
    for step, rate in enumerate(rates, start=31):
        gradients: dict[str, torch.Tensor] = {}
        for stream in streams:
            model = lab.model().train()
            restore(state, model)
            batch_loss(model, stream.batch(step)).backward()
            for name, parameter in model.named_parameters():
                gradients[name] = gradients.get(name, 0) + parameter.grad.double() / len(streams)

        def linear(model, gradients, precision):
            return sum((p * gradients[name].float()).sum() for name, p in model.named_parameters())

        state = advance(lab.model(), state, FixedStream(gradients), [rate], lab.optimizer, loss=linear)
    return state.weights


def test_one_run_takes_the_mean_of_the_gradients_and_the_other_mean_is_of_weights(lab, branched):
    table, start = measure(lab, BranchPoint(0, 30))["mean_gradient"], lab.branch_point(0, 30)
    losses = table.set_index(["kernel", "model", "mean_of", "split"])["loss"]
    streams = [lab.stream(0, f"mean_gradient/30/{number}") for number in range(2)]
    rates = list(lab.rates[30:40])
    falling = list(lab.rates[30:40] * Schedule.linear(10).multipliers)
    for key, taken in ((("none", "momentary"), rates), (("swa", "trip"), falling)):
        runs = [advance(lab.model(), start, stream, taken, lab.optimizer).weights for stream in streams]
        means = {name: (runs[0][name] + runs[1][name]) / 2 for name in runs[0]}
        for mean_of, weights in (("weights", means), ("gradients", by_hand(lab, streams, taken))):
            for split, score in evaluator.scores(lab, with_weights(start, weights)):
                assert losses[(*key, mean_of, split)] == pytest.approx(score.loss, rel=1e-4), (key, mean_of)
    apart = losses.xs("gradients", level="mean_of") - losses.xs("weights", level="mean_of")
    assert (abs(apart) > 1e-6).any()  # the network's loss is not quadratic


class Vector(nn.Module):
    """One vector of weights, of which the loss below is quadratic."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(3, dtype=torch.double))


class Drawn:
    """Batches of random numbers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def batch(self, step: int) -> Batch:
        drawn = torch.Generator().manual_seed(1000 * self._seed + step)
        inputs, targets = torch.randn(2, 4, 3, generator=drawn, dtype=torch.double)
        return Batch(inputs, targets, (self._seed, step))


def one_hessian(model: nn.Module, batch: Batch, precision: str = "") -> torch.Tensor:
    """Quadratic, with the same Hessian for every batch."""
    curvature = torch.tensor([0.5, 1.0, 3.0], dtype=torch.double)
    return (0.5 * curvature * model.theta**2).sum() - (batch.targets.mean(0) * model.theta).sum()  # type: ignore[operator]


def test_on_a_quadratic_loss_with_one_hessian_both_are_one_to_rounding(monkeypatch):
    monkeypatch.setattr("sidetrip.experiments.mean_gradient.measure.batch_loss", one_hessian)
    optimizer = SGD(momentum=0.9, weight_decay=0.01)
    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.double)
    start = TrainState(0, {"theta": theta}, {}, {"momentum": {"theta": theta.clone()}})
    streams, rates = [Drawn(seed) for seed in range(3)], [0.1, 0.05, 0.02, 0.01] * 10
    ends = [advance(Vector(), start, stream, rates, optimizer, loss=one_hessian).weights["theta"] for stream in streams]
    one = advance(Vector(), start, Together(streams), rates, optimizer, loss=loss_of_all).weights["theta"]
    assert not torch.allclose(ends[0], ends[1])
    torch.testing.assert_close(one, torch.stack(ends).mean(0), rtol=1e-12, atol=1e-12)
