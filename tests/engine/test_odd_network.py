"""A network with random masks and with parameters that are not trained goes through a run and its measurements."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from helpers import STEPPING, advanced, assert_same_bits, branched_off, burnt_in, measured, random_lab, smoke_config
from torch import nn

from sidetrip.engine.state import initial_state, trained
from sidetrip.experiments.running_averages import measure as running_averages
from sidetrip.experiments.running_averages.plan import Stretch

FROZEN = {"first.weight", "first.bias", "scale", "levels", "number"}


class Odd(nn.Module):
    """Layers of which the first is frozen, an integer parameter, an integer buffer, a parameter of no use; dropout."""

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
        return self.last(nn.functional.dropout(x, 0.3, self.training).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    lab = random_lab(tmp_path_factory.mktemp("odd"), smoke_config())
    lab.model = Odd
    burnt_in(lab, seed=3)
    branched_off(lab, seed=3)
    return lab


def test_they_are_no_weights(odd):
    state = initial_state(Odd(3))
    assert set(trained(Odd(3))) == {"norm.weight", "norm.bias", "last.weight", "last.bias", "unused"}
    kept = odd.snapshot(3, 0).optimizer["momentum"]
    assert state.weights.keys() == kept.keys() == trained(Odd(3)).keys()
    assert state.buffers.keys() >= FROZEN


def test_a_run_leaves_them_alone_and_branches_exactly(odd):
    lab, start = odd, initial_state(Odd(3))
    end = lab.snapshot(3, 40)
    for name in FROZEN:
        assert torch.equal(end.buffers[name], start.buffers[name]), name
        assert end.buffers[name].dtype == start.buffers[name].dtype
    assert not torch.equal(end.weights["last.weight"], start.weights["last.weight"])
    assert_same_bits(advanced(lab, lab.branch_point(3, 20), 20, seed=3), end)


@pytest.mark.parametrize("experiment", STEPPING)
def test_every_experiment_measures_it_twice_alike(odd, experiment):
    first = measured(odd, experiment, seed=3)
    torch.rand(5)
    for name, table in measured(odd, experiment, seed=3).items():
        assert not table.isna().to_numpy().any()
        pd.testing.assert_frame_equal(table, first[name], check_exact=True)


def test_a_step_starts_at_the_loss_that_its_curvature_was_taken_at(odd):
    """The sweep and the expansion see one function, whose slope is that of its own losses."""
    tables = measured(odd, "single_step", seed=3)
    keys = ["batch_size", "own_batch", "direction", "batchnorm"]
    swept = tables["single_step"].query("batch == 'own' and step_size == 0").drop_duplicates(keys).set_index(keys)
    expanded = tables["curvature"].set_index(keys)
    assert len(expanded) > 2
    found = swept["loss"].reindex(expanded.index)
    assert found.to_list() == pytest.approx(expanded["loss"].to_list(), rel=1e-6)


def test_averages_are_scored_with_the_frozen_parameters_of_their_run(odd, monkeypatch):
    """Not with those of the model that evaluation works on, which has another seed."""
    seen = []
    plain = Odd.forward

    def noting(self, x):
        if not self.training:
            seen.append({name: value.clone() for name, value in self.named_parameters() if name in FROZEN})
        return plain(self, x)

    monkeypatch.setattr(Odd, "forward", noting)
    measured(odd, "side_trips", seed=3)
    running_averages.measure(odd, Stretch(3, (10,)))
    assert seen
    run = initial_state(Odd(3)).buffers
    assert all(torch.equal(value, run[name]) for values in seen for name, value in values.items())
