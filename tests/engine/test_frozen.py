"""Parameters that are not trained, and integers, go through a run, its averages and its measurements unchanged."""

from __future__ import annotations

import pytest
import torch
from helpers import STEPPING, advanced, assert_same_bits, branched_off, burnt_in, measured, random_lab, smoke_config
from torch import nn

from sidetrip.engine.state import initial_state, trained
from sidetrip.experiments.running_averages import measure as running_averages
from sidetrip.experiments.running_averages.plan import Stretch

FROZEN = {"first.weight", "first.bias", "scale", "levels", "number"}


class PartlyFrozen(nn.Module):
    """Layers of which the first is frozen, an integer parameter, an integer buffer, and a parameter of no use."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.norm, self.last = nn.Conv2d(1, 3, 3, 2), nn.BatchNorm2d(3), nn.Linear(3, 10)
            self.scale = nn.Parameter(torch.rand(3, 1, 1), requires_grad=False)
            self.unused = nn.Parameter(torch.rand(2))
        self.first.requires_grad_(False)
        self.levels = nn.Parameter(torch.tensor([255, 1], dtype=torch.uint8), requires_grad=False)
        self.register_buffer("number", torch.tensor(2**40 + 1))

    def forward(self, x):
        x = self.norm(self.first(x) * self.scale).relu() * (self.levels[0] / 255)
        return self.last(x.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def partly_frozen(tmp_path_factory):
    lab = random_lab(tmp_path_factory.mktemp("frozen"), smoke_config())
    lab.model = PartlyFrozen
    burnt_in(lab, seed=3)
    branched_off(lab, seed=3)
    return lab


def test_they_are_no_weights(partly_frozen):
    state = initial_state(PartlyFrozen(3))
    assert set(trained(PartlyFrozen(3))) == {"norm.weight", "norm.bias", "last.weight", "last.bias", "unused"}
    kept = partly_frozen.snapshot(3, 0).optimizer["momentum"]
    assert state.weights.keys() == kept.keys() == trained(PartlyFrozen(3)).keys()
    assert state.buffers.keys() >= FROZEN


def test_a_run_leaves_them_alone_and_branches_exactly(partly_frozen):
    lab, start = partly_frozen, initial_state(PartlyFrozen(3))
    end = lab.snapshot(3, 40)
    for name in FROZEN:
        assert torch.equal(end.buffers[name], start.buffers[name]), name
        assert end.buffers[name].dtype == start.buffers[name].dtype
    assert not torch.equal(end.weights["last.weight"], start.weights["last.weight"])
    assert_same_bits(advanced(lab, lab.branch_point(3, 20), 20, seed=3), end)


@pytest.mark.parametrize("experiment", STEPPING)
def test_every_experiment_measures_such_a_network(partly_frozen, experiment):
    for table in measured(partly_frozen, experiment, seed=3).values():
        assert not table.isna().to_numpy().any()


def test_averages_are_scored_with_the_frozen_parameters_of_their_run(partly_frozen, monkeypatch):
    """Not with those of the model that evaluation works on, which has another seed."""
    seen = []
    plain = PartlyFrozen.forward

    def noting(self, x):
        if not self.training:
            seen.append({name: value.clone() for name, value in self.named_parameters() if name in FROZEN})
        return plain(self, x)

    monkeypatch.setattr(PartlyFrozen, "forward", noting)
    measured(partly_frozen, "side_trips", seed=3)
    running_averages.measure(partly_frozen, Stretch(3, (10,)))
    assert seen
    run = initial_state(PartlyFrozen(3)).buffers
    assert all(torch.equal(value, run[name]) for values in seen for name, value in values.items())
