"""Lines between two runs on one fixed batch, against plain gradient steps written out."""

import math

import numpy as np
import pytest
import torch
from helpers import random_lab, smoke_config

from sidetrip.engine.state import restore
from sidetrip.engine.training import batch_loss
from sidetrip.experiments.fixed_batch import measure as fixed_batch
from sidetrip.experiments.units import BranchPoint


def loss_after(lab, state, direction, step_size, batch):
    model = lab.model().train()
    restore(state, model)
    with torch.no_grad():
        for p, d in zip(model.parameters(), direction, strict=True):
            p -= step_size * d
        return float(batch_loss(model, batch))


def test_lines_between_two_runs(lab, branched):
    table = fixed_batch.measure(lab, BranchPoint(0, 20))["fixed_batch"]
    own = lab.stream(0, "fixed_batch/20").batch(1)
    sizes = table.groupby("steps")["step_size"].first()
    assert sizes[0] == 0.0
    assert (sizes[1:] > 0).all()
    for alpha, point in ((0.0, 20), (1.0, 30)):
        model = lab.model().train()
        restore(lab.branch_point(0, point), model)
        parameters = list(model.parameters())
        for steps in range(4):
            loss = batch_loss(model, own)
            row = table[(table["steps"] == steps) & (table["alpha"] == alpha) & (table["batch"] == "own")].iloc[0]
            assert row["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
            gradient = torch.autograd.grad(loss, parameters)
            if steps < 3:
                with torch.no_grad():
                    for p, g in zip(parameters, gradient, strict=True):
                        p -= sizes[steps + 1] * g


def test_the_line_search_finds_what_a_fine_grid_finds(lab, branched):
    states = [lab.branch_point(0, point) for point in (20, 30)]
    own = lab.stream(0, "fixed_batch/20").batch(1)
    directions = []
    for state in states:
        model = lab.model().train()
        restore(state, model)
        directions.append(torch.autograd.grad(batch_loss(model, own), list(model.parameters())))

    def mean_loss(step_size):
        pairs = zip(states, directions, strict=True)
        return np.mean([loss_after(lab, state, direction, step_size, own) for state, direction in pairs])

    found = fixed_batch.common_step_size(lab, states, own)
    grid = min(mean_loss(step_size) for step_size in np.geomspace(0.01, 4.0, 60))
    assert mean_loss(found) <= grid + 0.01 * abs(grid)


def test_a_run_that_diverges_leaves_empty_losses(tmp_path, lab, branched, monkeypatch):
    wild = random_lab(tmp_path, smoke_config())
    monkeypatch.setattr(wild, "branch_point", lab.branch_point)
    monkeypatch.setattr(fixed_batch, "common_step_size", lambda lab, states, batch: 1e30)
    table = fixed_batch.measure(wild, BranchPoint(0, 20))["fixed_batch"]
    assert table.loc[table["steps"] == 0, "loss"].notna().all()
    assert table.loc[table["steps"] == 3, "loss"].isna().all()
    assert math.isnan(table["step_size"].iloc[-1]) or table["step_size"].iloc[-1] == 1e30
