"""Lines between two runs on one fixed batch, against plain gradient steps written out."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from helpers import random_lab, smoke_config

from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import initial_state, restore
from sidetrip.engine.training import advance, batch_loss
from sidetrip.experiments.fixed_batch import measure as fixed_batch
from sidetrip.experiments.fixed_batch.plan import FixedBatch, units

UNIT = FixedBatch(0, 20, 0, 30, 0)


def test_units_are_batches_between_neighbours_and_a_control_of_two_initialisations_for_each_seed():
    config = smoke_config(**{"seeds": [3, 5], "branch.points": [20, 25, 30], "fixed_batch.batches": 2})
    found = [(u.pair, u.seed, u.step, u.other_seed, u.other_step, u.number) for u in units(config)]
    run = [("run", s, a, s, b, n) for s, a, b, n in product((3, 5), (20, 25), (25, 30), (0, 1)) if b - a == 5]
    assert sorted(found) == sorted([*run, ("initialisations", 3, 20, 5, 20, 0), ("initialisations", 5, 20, 3, 20, 0)])
    assert {unit.pair for unit in units(smoke_config(seeds=[0]))} == {"run"}


def test_a_control_starts_at_another_seed_s_run(lab, branched, monkeypatch):
    points = {(0, 20): lab.branch_point(0, 20), (1, 20): initial_state(lab.model(1))}
    monkeypatch.setattr(lab, "branch_point", lambda seed, step: points[seed, step])
    table = fixed_batch.measure(lab, FixedBatch(0, 20, 1, 20, 0))["fixed_batch"]
    assert set(table["pair"]) == {"initialisations"}
    before = table.query("steps == 0 and batch == 'own'").set_index("alpha")["loss"]
    own = lab.stream(0, "fixed_batch/20").batch(1)
    for alpha, state in zip((0.0, 1.0), points.values(), strict=True):
        model = lab.model().train()
        restore(state, model)
        assert before[alpha] == pytest.approx(float(batch_loss(model, own).detach()), rel=1e-5)


def test_lines_between_two_runs(lab, branched):
    """On the second fixed batch, whose steps are those of no other."""
    table = fixed_batch.measure(lab, FixedBatch(0, 20, 0, 30, 1))["fixed_batch"]
    own, held_out = (lab.stream(0, "fixed_batch/20").batch(number) for number in (3, 4))
    sizes = table.groupby("steps")["step_size"].first()
    assert sizes[0] == 0.0
    assert (sizes[1:] > 0).all()
    for alpha, point in ((0.0, 20), (1.0, 30)):
        model = lab.model().train()
        restore(lab.branch_point(0, point), model)
        parameters = list(model.parameters())
        for steps in range(4):
            loss, other = batch_loss(model, own), batch_loss(model, held_out)
            found = table[(table["steps"] == steps) & (table["alpha"] == alpha)].set_index("batch")["loss"]
            assert found["own"] == pytest.approx(float(loss.detach()), rel=1e-4)
            assert found["held_out"] == pytest.approx(float(other.detach()), rel=1e-4)
            gradient = torch.autograd.grad(loss, parameters)
            if steps < 3:
                with torch.no_grad():
                    for p, g in zip(parameters, gradient, strict=True):
                        p -= sizes[steps + 1] * g


def test_the_line_search_finds_what_a_fine_grid_finds(lab, branched):
    states = [lab.branch_point(0, point) for point in (20, 30)]
    own = lab.stream(0, "fixed_batch/20").batch(1)

    def mean_loss(step_size):
        losses, model = [], lab.model()
        for state in states:
            advance(model, state, fixed_batch.FixedStream(own), [step_size], SGD())
            losses.append(float(batch_loss(model, own).detach()))
        return np.mean(losses)

    found = fixed_batch.common_step_size(lab, states, own)
    grid = min(mean_loss(step_size) for step_size in np.geomspace(0.01, 4.0, 60))
    assert mean_loss(found) <= grid + 0.01 * abs(grid)


def test_a_run_that_diverges_leaves_empty_losses(tmp_path, lab, branched, monkeypatch):
    wild = random_lab(tmp_path, smoke_config())
    monkeypatch.setattr(wild, "branch_point", lab.branch_point)
    monkeypatch.setattr(fixed_batch, "common_step_size", lambda lab, states, batch: 1e30)
    table = fixed_batch.measure(wild, UNIT)["fixed_batch"]
    assert table.loc[table["steps"] == 0, "loss"].notna().all()
    assert table.loc[table["steps"] == 3, "loss"].isna().all()
    assert math.isnan(table["step_size"].iloc[-1]) or table["step_size"].iloc[-1] == 1e30
