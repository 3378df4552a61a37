"""Gradients of fixed batches along trips, written out."""

import itertools

import numpy as np
import pytest
import torch
from helpers import advanced, random_lab, smoke_config

from sidetrip.engine.state import initial_state, restore
from sidetrip.engine.training import Optimizer, batch_loss
from sidetrip.experiments import alignment
from sidetrip.experiments.alignment.plan import alignment_looks
from sidetrip.kernels import Schedule


def gradient(lab, state, batch):
    model = lab.model().train()
    restore(state, model)
    batch_loss(model, batch).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]).double()


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def test_every_look_against_trips_written_out(lab, branched):
    start = lab.branch_point(0, 20)
    tables = alignment.measure(lab, start, 0)
    steps, batches = lab.config.alignment.steps, lab.config.alignment.fixed_batches
    rates = {"constant": lab.rates[20:30], "linear": lab.rates[20:30] * Schedule.linear(steps).multipliers}
    assert batches > 1
    for look, number in itertools.product(alignment_looks(lab.config), range(batches)):
        fixed, seen = lab.stream(0, "alignment/20").batch(number + 1), {}
        first = gradient(lab, start, fixed)
        for trip, r in rates.items():
            state = advanced(lab, start, look, rates=r[:look])
            training = lab.stream(0).batch(20 + look + 1)
            seen[trip] = gradient(lab, state, fixed), gradient(lab, state, training)
            row = tables["alignment"].query("trip == @trip and trip_step == @look and fixed_batch == @number").iloc[0]
            assert row["fixed_cosine"] == pytest.approx(cosine(seen[trip][0], first), abs=1e-5)
            assert row["different_batches_cosine"] == pytest.approx(cosine(*seen[trip]), abs=1e-5)
            assert row["fixed_norm"] == pytest.approx(float(seen[trip][0].norm()), rel=1e-5)
            assert row["training_norm"] == pytest.approx(float(seen[trip][1].norm()), rel=1e-5)
        between = tables["between_trips"].set_index(["trip_step", "fixed_batch"]).loc[(look, number)]
        assert between["fixed_cosine"] == pytest.approx(cosine(seen["constant"][0], seen["linear"][0]), abs=1e-5)
        assert between["training_cosine"] == pytest.approx(cosine(seen["constant"][1], seen["linear"][1]), abs=1e-5)


def test_looks_begin_with_the_first_step_and_end_with_the_last():
    looks = alignment_looks(smoke_config(**{"alignment.steps": 10, "alignment.every": 4}))
    assert looks == [0, 1, 5, 9, 10]
    assert np.diff(looks).max() <= 4


def test_a_trip_that_diverges_is_rows_that_say_so(tmp_path):
    wild = random_lab(tmp_path, smoke_config(**{"burn_in.rate": 99.0}))
    wild.optimizer = Optimizer(0.99, 0.9)
    tables = alignment.measure(wild, initial_state(wild.model()), 0)
    along, looks = tables["alignment"], alignment_looks(wild.config)
    batches = wild.config.alignment.fixed_batches
    assert len(along) == 2 * batches * len(looks)
    assert along.query("trip == 'constant'")["diverged"].iloc[-1]
    assert along.loc[along["diverged"], "fixed_loss"].isna().all()
    assert len(tables["between_trips"]) < batches * len(looks)
