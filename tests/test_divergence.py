"""Distances, lines and gradients on states whose answer is known by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import along_table, line_table, random_lab, smoke_config
from hypothesis import given, settings
from hypothesis import strategies as st

from sidetrip.verdicts import alignment as alignment_claims
from sidetrip.verdicts import divergence as divergence_claims
from sidetrip.verdicts import fixed_batch as fixed_batch_claims
from sidetrip.verdicts.divergence import along_trips, distances_along
from sidetrip.verdicts.statistics import both, judged, pairs_needed
from sidetrip.experiments import alignment, divergence, fixed_batch, side_trips, single_step
from sidetrip.experiments.main_trajectory import replay
from sidetrip.engine.state import distance, initial_state, lerp, load_state, state_path
from sidetrip.engine.training import Optimizer, advance, batch_loss


@pytest.fixture(scope="module")
def points(lab, snapshots):
    return list(replay(lab, 0, snapshots, [20, 30]))


GROUPS = ("weights", "buffers", "momentum")


def copies(state):
    return {group: {name: t.clone() for name, t in getattr(state, group).items()} for group in GROUPS}


def assert_untouched(state, before):
    for group, tensors in before.items():
        for name, tensor in tensors.items():
            assert torch.equal(getattr(state, group)[name], tensor), f"{group}/{name}"


def test_measuring_leaves_the_branch_point_alone(lab, snapshots, points):
    before = [copies(point) for point in points]
    divergence.divergence(lab, points[0], 0, snapshots)
    alignment.alignment(lab, points[0], 0)
    fixed_batch.fixed_batch(lab, (points[0], points[1]), (0.1, 0.1), 0)
    single_step.single_step(lab, points[0], 0)
    for point, copy in zip(points, before, strict=True):
        assert_untouched(point, copy)


def test_distances_along_trips(lab, snapshots, points):
    """Against trips that are run: the main trajectory's states are those of a trip at its rate on its batches."""
    distances, along = divergence.divergence(lab, points[0], 0, snapshots)
    assert distances["trip_step"].tolist() == [0, 1, 5, 10]
    for row in distances.itertuples():
        rates = lab.rates[20 : 20 + row.trip_step].tolist()
        here, there = (
            advance(lab.model(), points[0], lab.stream(0, name), rates, lab.optimizer)
            for name in ("train", "independent/20")
        )
        assert row.trip_to_start == distance(here, points[0])
        assert row.trip_to_independent == distance(here, there)
    assert along["step"].tolist() == [0, 15, 30, 40]
    snapshot = load_state(state_path(snapshots, 15))
    # Up to the order of a sum: a state that is loaded has its tensors in any order.
    assert along.set_index("step").loc[15, "distance"] == pytest.approx(distance(snapshot, there), rel=1e-12)


def test_the_midpoint_and_half_the_rate_are_a_case_of_the_comparison(lab, snapshots, points):
    """Fig. 6 from the tables of the averaging comparison, against a midpoint and a trip written out."""
    scores, apart = side_trips.side_trips(lab, points[0], 0)
    trip_distances, _ = divergence.divergence(lab, points[0], 0, snapshots)
    losses, distances = along_trips(scores), distances_along(trip_distances, apart).set_index("trip_step")
    (end,) = replay(lab, 0, snapshots, [30])
    rates = lab.rates[20:30]
    models = {
        "trip": end,
        "midpoint": lerp(points[0], end, 0.5),
        "half_rate": advance(lab.model(), points[0], lab.stream(0), (0.5 * rates).tolist(), lab.optimizer),
    }
    row = losses.query("trip_step == 10 and split == 'validation'").iloc[0]
    for name, state in models.items():
        assert row[name] == pytest.approx(dict(lab.evaluate(state.weights))["validation"].loss, rel=1e-5), name
        assert distances.loc[10, f"{name}_to_start"] == pytest.approx(distance(state, points[0]), rel=1e-5), name
    expected = distance(models["midpoint"], models["half_rate"])
    assert distances.loc[10, "midpoint_to_half_rate"] == pytest.approx(expected, rel=1e-4)
    assert (distances.loc[0].drop(["seed", "branch"]) == 0).all()
    start = losses[losses["trip_step"] == 0]
    assert (start["trip"] == start["midpoint"]).all()
    assert (start["trip"] == start["half_rate"]).all()


def test_a_trip_that_diverges_is_said_to(tmp_path, snapshots):
    hot = random_lab(tmp_path, smoke_config())
    hot.rates = hot.rates * 1e30
    start = load_state(state_path(snapshots, 15))
    kept = divergence.independent_trip(hot, start, 0, [0, 1, 5, 10])
    assert 0 in kept
    assert 10 not in kept
    table = fixed_batch.fixed_batch(hot, (start, start), (1e30, 0.1), 0)
    assert table.loc[table["steps"] == hot.config.fixed_batch.steps, "loss"].isna().all()


def test_lines_between_two_runs(lab, points):
    table = fixed_batch.fixed_batch(lab, (points[0], points[1]), (0.1, 0.2), 0)
    own = lab.stream(0, "fixed_batch/20").batch(1)
    model = lab.model()
    parameters = list(model.parameters())
    for alpha, point, rate in ((0.0, points[0], 0.1), (1.0, points[1], 0.2)):
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(point.weights[name])
        model.train()
        for steps in range(4):
            loss = batch_loss(model, own)
            row = table[(table["steps"] == steps) & (table["alpha"] == alpha) & (table["batch"] == "own")].iloc[0]
            assert row["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
            gradient = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for p, g in zip(parameters, gradient, strict=True):
                    p -= rate * g


def test_default_rate_is_half_the_best_own_step():
    rows = [
        (0, 20, size, "gradient", "batch", x, batch, (x - best) ** 2)
        for size, best, batch in ((16, 0.6, "own"), (16, 0.2, "held_out"), (64, 0.4, "own"))
        for x in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    columns = ["seed", "branch", "batch_size", "direction", "batchnorm", "step_size", "batch", "loss"]
    assert fixed_batch.default_rate(pd.DataFrame(rows, columns=columns), 0, 20) == 0.3


def test_gradients_and_cosines_written_out(lab, points):
    along, between = alignment.alignment(lab, points[0], 0)
    fixed, training = lab.stream(0, "alignment/20").batch(1), lab.stream(0).batch(21)
    model = lab.model()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(points[0].weights[name])
    model.train()
    flat = []
    for batch in (fixed, training):
        model.zero_grad()
        batch_loss(model, batch).backward()
        flat.append(torch.cat([p.grad.flatten() for p in model.parameters()]).double())
    row = along.query("trip_step == 0 and trip == 'constant'").iloc[0]
    assert row["fixed_cosine"] == pytest.approx(1.0, abs=1e-12)
    assert row["fixed_norm"] == pytest.approx(float(flat[0].norm()), rel=1e-6)
    assert row["training_norm"] == pytest.approx(float(flat[1].norm()), rel=1e-6)
    expected = float(torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0))
    assert row["different_batches_cosine"] == pytest.approx(expected, abs=1e-6)
    # Until the first step is taken the two trips are one; the linear decay's first step is at the full rate.
    assert between.set_index("trip_step").loc[0, "fixed_cosine"] == pytest.approx(1.0, abs=1e-12)


def test_curvature_is_that_of_finite_differences():
    """In float64, on a small network with BatchNorm: slope and curvature of the loss along the step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, 4)
    ).double()
    model.train()
    parts = [(torch.randn(6, 1, 4, 4, dtype=torch.float64), torch.randint(0, 4, (6,))) for _ in range(3)]
    gradient = single_step.mean_gradient(model, parts, "fp32")
    found = single_step.expand(model, parts, gradient, "fp32")
    start = [p.detach().clone() for p in model.parameters()]

    def loss_at(step: float) -> float:
        with torch.no_grad():
            for p, w, g in zip(model.parameters(), start, gradient, strict=True):
                p.copy_(w - step * g)
        return single_step.mean_loss(model, parts, "fp32")

    h = 1e-4
    assert found.loss == pytest.approx(loss_at(0.0), rel=1e-12)
    assert found.slope == pytest.approx((loss_at(h) - loss_at(-h)) / (2 * h), rel=1e-6)
    assert found.slope == pytest.approx(-sum(float(g.square().sum()) for g in gradient), rel=1e-9)
    assert found.curvature == pytest.approx((loss_at(h) - 2 * loss_at(0.0) + loss_at(-h)) / h**2, rel=1e-5)


def test_chunks_are_the_mean_of_their_parts(lab, points):
    curves, _ = single_step.single_step(lab, points[0], 0)
    stream = lab.stream(0, "single_step/20", 32)
    model = lab.model()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(points[0].weights[name])
    model.train()
    with torch.no_grad():
        expected = np.mean([float(batch_loss(model, stream.batch(i))) for i in (1, 2)])
    start = curves.query("batch_size == 64 and batch == 'own' and step_size == 0")["loss"].iloc[0]
    assert start == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.floats(0, 5), min_size=2, max_size=2), st.floats(0, 3), st.floats(0.01, 2))
@settings(max_examples=30, deadline=None)
def test_barriers(ends, sag, bump):
    alphas = np.linspace(0, 1, 11)
    line = (1 - alphas) * ends[0] + alphas * ends[1]
    convex = line - sag * alphas * (1 - alphas)
    assert fixed_batch_claims.barriers(line_table(convex))["barrier"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    hill = line.copy()
    hill[5] += bump
    assert fixed_batch_claims.barriers(line_table(hill))["barrier"].to_numpy() == pytest.approx(bump)


def test_fixed_batch_verdicts():
    config = smoke_config()
    found = fixed_batch_claims.judge({"fixed_batch": line_table(np.full(11, 0.02))}, config)
    assert found["fixed_batch_floor"].value == pytest.approx(0.05)
    assert {m.verdict for m in found.values()} == {"reproduced"}
    hill = np.r_[np.zeros(5), 1.0, np.zeros(5)]
    assert (
        fixed_batch_claims.judge({"fixed_batch": line_table(hill)}, config)["fixed_batch_basin"].verdict
        == "not reproduced"
    )
    assert fixed_batch_claims.judge({"fixed_batch": pd.DataFrame(columns=["seed"])}, config) == {}


def test_gradient_verdicts():
    config = smoke_config()
    calm = alignment_claims.judge({"alignment": along_table(np.full(30, 2.0), np.full(30, 0.8))}, config)
    assert {m.verdict for m in calm.values()} == {"reproduced"}
    wild = alignment_claims.judge({"alignment": along_table(np.linspace(1, 2, 30), np.r_[1, np.full(29, 0.4)])}, config)
    assert wild["fixed_gradient_norm"].verdict == "not reproduced"
    assert wild["fixed_gradient_direction"].verdict == "not reproduced"
    # Windows of 50 steps are 10 looks: means 1 + (i + 4.5)/29 of a straight rise.
    change = alignment_claims.norm_changes(along_table(np.linspace(1, 2, 30), np.ones(30)), 50)["change"]
    assert change.to_numpy() == pytest.approx((1 + 24.5 / 29) / (1 + 4.5 / 29) - 1)


def test_a_diverged_trip_keeps_no_gradient():
    table = along_table(np.full(30, 2.0), np.full(30, 0.8))
    lost = (table["seed"] == 1) & (table["trip"] == "linear") & (table["trip_step"] > 50)
    table.loc[lost, ["fixed_cosine", "different_batches_cosine", "fixed_norm"]] = np.nan
    table.loc[lost, "diverged"] = True
    found = alignment_claims.judge({"alignment": table}, smoke_config())
    assert found["fixed_gradient_norm"].verdict == found["fixed_gradient_direction"].verdict == "not reproduced"
    assert found["batch_gradients_orthogonal"].n == 3
    shares = alignment_claims.shares_aligned(table, 0.5).set_index(["seed", "branch", "trip"])["share"]
    assert shares[1, 20, "linear"] == pytest.approx(10 / 29)


def test_a_trip_that_diverges_is_rows_that_say_so(tmp_path):
    wild = random_lab(tmp_path, smoke_config(**{"burn_in.rate": 99.0}))
    wild.optimizer = Optimizer(0.99, 0.9)
    start = initial_state(wild.model())
    along, between = alignment.alignment(wild, start, 0)
    assert len(along) == 2 * 6
    assert along.query("trip == 'constant'")["diverged"].iloc[-1]
    assert along.loc[along["diverged"], "fixed_loss"].isna().all()
    assert len(between) < 6


def test_saturation_by_hand():
    steps = np.arange(0, 101, 10)
    falling = np.where(steps <= 50, 10 - 0.1 * steps, 5.2)
    table = pd.DataFrame({"seed": 0, "branch": 50, "step": steps, "distance": falling})
    found = divergence_claims.saturation(table).iloc[0]
    assert found["rank"] == pytest.approx(-1.0)
    assert found["change"] == pytest.approx(0.2 / 5)
    rising = table.assign(distance=10 + steps)
    assert divergence_claims.saturation(rising).iloc[0]["change"] == math.inf


def test_an_independent_trip_that_diverges_leaves_holes(lab, snapshots, points, monkeypatch):
    """Its distances are empty, those to the start are there, and no verdict rests on it."""
    monkeypatch.setattr(divergence, "independent_trip", lambda lab, start, seed, looks: {0: start, 1: start})
    distances, along = divergence.divergence(lab, points[0], 0, snapshots)
    assert distances["trip_to_independent"].isna().tolist() == [False, False, True, True]
    assert distances["trip_to_start"].notna().all()
    assert along.empty
    scores, apart = side_trips.side_trips(lab, points[0], 0)
    tables = {"side_trips": scores, "distances": apart, "trip_distances": distances, "to_independent_end": along}
    assert "midpoint_distance" not in divergence_claims.judge(tables, lab.config)


def test_tracking_by_hand():
    rows = [
        (0, 20, step, "validation", *losses)
        for step, losses in ((0, (1, 1, 1)), (5, (1.0, 0.8, 0.75)), (10, (1.0, 0.6, 0.65)))
    ]
    table = pd.DataFrame(rows, columns=["seed", "branch", "trip_step", "split", "trip", "midpoint", "half_rate"])
    found = divergence_claims.tracking(table).iloc[0]
    assert found["gap"] == pytest.approx(0.05)
    assert found["gain"] == pytest.approx(0.3)


def test_pairs_needed():
    assert pairs_needed(0.2, 0.1, 0.3, 8, below=0.25) == 32  # reach 0.1, margin 0.05: twice as narrow
    assert pairs_needed(0.3, 0.1, 0.5, 8, below=0.25) == 128  # "not reproduced" would take as narrow on the other side
    assert pairs_needed(0.25, 0.1, 0.5, 8, below=0.25) is None
    assert pairs_needed(0.0, -math.inf, math.inf, 1, below=0.25) is None
    assert judged(0.1, 0.05, 0.15, 8, below=0.25).pairs_needed is None


def test_both_takes_the_worst():
    good, unsure, bad = (judged(v, v - 0.1, v + 0.1, 8, below=0.5) for v in (0.1, 0.45, 0.9))
    assert both({"a": good, "b": good}).verdict == "reproduced"
    assert both({"a": good, "b": unsure}).verdict == "undecided"
    assert both({"a": good, "b": unsure}).pairs_needed == unsure.pairs_needed
    assert both({"a": bad, "b": unsure}).verdict == "not reproduced"
    assert both({"a": bad, "b": unsure}).value == 0.9
