"""Gradients of fixed batches along trips, written out."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers import advanced, random_lab, smoke_config

from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import initial_state, restore
from sidetrip.engine.training import batch_loss
from sidetrip.experiments.alignment.measure import Gradient, measure
from sidetrip.experiments.alignment.measure import cosine as measured_cosine
from sidetrip.experiments.alignment.plan import looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Schedule


def gradient(lab, state, batch):
    model = lab.model().train()
    restore(state, model)
    batch_loss(model, batch).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]).double()


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def test_every_look_against_trips_written_out(lab, branched):
    start, tables = lab.branch_point(0, 20), measure(lab, BranchPoint(0, 20))
    steps, batches = lab.config.alignment.steps, lab.config.alignment.fixed_batches
    rates = {"constant": lab.rates[20:30], "linear": lab.rates[20:30] * Schedule.linear(steps).multipliers}
    assert batches > 1
    for look, number in itertools.product(looks(lab.config), range(batches)):
        fixed, seen = lab.stream(0, "alignment/20").batch(number + 1), {}
        first = gradient(lab, start, fixed)
        for trip, r in rates.items():
            state = advanced(lab, start, look, rates=r[:look])
            mine, theirs = (gradient(lab, state, batch) for batch in (fixed, lab.stream(0).batch(20 + look + 1)))
            seen[trip] = mine, theirs
            row = tables["alignment"].query("trip == @trip and trip_step == @look and fixed_batch == @number").iloc[0]
            angles = [cosine(mine, first), cosine(mine, theirs)]
            assert row[["fixed_cosine", "different_batches_cosine"]].tolist() == pytest.approx(angles, abs=1e-5)
            norms = [float(mine.norm()), float(theirs.norm())]
            assert row[["fixed_norm", "training_norm"]].tolist() == pytest.approx(norms, rel=1e-5)
        between = tables["between_trips"].set_index(["trip_step", "fixed_batch"]).loc[(look, number)]
        angles = [cosine(a, b) for a, b in zip(seen["constant"], seen["linear"], strict=True)]
        assert between[["fixed_cosine", "training_cosine"]].tolist() == pytest.approx(angles, abs=1e-5)


def test_looks_begin_with_the_first_step_and_end_with_the_last():
    found = looks(smoke_config(**{"alignment.steps": 10, "alignment.every": 4}))
    assert found == [0, 1, 5, 9, 10]
    assert np.diff(found).max() <= 4


def test_a_trip_that_diverges_is_rows_that_say_so(tmp_path, monkeypatch):
    wild = random_lab(tmp_path, smoke_config(**{"burn_in.rate": 99.0}))
    wild.optimizer = SGD(momentum=0.99, weight_decay=0.9)
    monkeypatch.setattr(wild, "branch_point", lambda seed, step: initial_state(wild.model()))
    tables = measure(wild, BranchPoint(0, 0))
    along, expected = tables["alignment"], wild.config.alignment.fixed_batches * len(looks(wild.config))
    assert len(along) == 2 * expected
    assert along.query("trip == 'constant'")["diverged"].iloc[-1]
    assert along.loc[along["diverged"], "fixed_loss"].isna().all()
    assert len(tables["between_trips"]) < expected


def test_a_gradient_of_zero_has_no_direction():
    nothing, one, other = (Gradient([torch.tensor(values)]) for values in ([0.0, 0.0], [1.0, 0.0], [3.0, 4.0]))
    assert measured_cosine(one, other) == pytest.approx(0.6)
    assert math.isnan(measured_cosine(one, nothing))
    assert math.isnan(measured_cosine(nothing, nothing))
