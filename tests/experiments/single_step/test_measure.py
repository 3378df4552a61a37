"""One step: its direction, its curvature, and the settings and step sizes that are tried."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from helpers import advanced, branched_off, burnt_in, random_lab, smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.data.packed import SPLITS
from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import restore
from sidetrip.engine.training import DivergedError, batch_loss
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.single_step import measure as steps
from sidetrip.experiments.single_step.plan import VARIED, measured_settings, near_lowest
from sidetrip.experiments.units import BranchPoint, Run

LAST = smoke_config().branch.points[-1]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(scope="module")
def tables(lab, branched):
    return steps.measure(lab, BranchPoint(0, LAST))


@pytest.fixture(scope="module")
def table(tables):
    return tables["single_step"]


def test_what_is_measured(table):
    settings = ["batch_size", "own_batch", "direction", "batchnorm"]
    found = table[settings].drop_duplicates().to_numpy().tolist()
    every = product((8, 16, 32), (0, 1))
    assert found == [[*here, *each] for here in every for each in measured_settings(*here, LAST, smoke_config())]
    coarse = table[table["range"].isin(["wide", "zoom"])]
    assert not coarse.duplicated([*settings, "batch", "index", "step_size"]).any()
    held_out = coarse[coarse["batch"] == "held_out"].groupby(settings)["index"].unique()
    assert all(sorted(indices) == list(range(1, 11)) for indices in held_out)
    assert set(table[table["range"].isin(["near_own", "fit"])]["batch"]) == {"own"}
    assert set(table[table["range"] == "near_held_out"]["batch"]) == {"held_out"}
    fit = table.query("range == 'fit' and batch_size == 16 and own_batch == 1")["step_size"]
    assert np.diff(fit) == pytest.approx(np.diff(fit)[0])


def test_refining_comes_nearer_to_the_lowest_loss(table):
    own = table.query("batch == 'own' and direction == 'gradient' and batchnorm == 'batch'")
    for _, rows in own.groupby(["batch_size", "own_batch"]):
        coarse = rows[rows["range"].isin(["wide", "zoom"])].sort_values("step_size")
        near = rows[rows["range"] == "near_own"]
        assert near["step_size"].tolist() == near_lowest(coarse["step_size"].tolist(), coarse["loss"])
        fit = rows[rows["range"] == "fit"]["step_size"]
        refined = rows[rows["range"] != "fit"]
        assert fit.max() == pytest.approx(1.5 * refined.loc[refined["loss"].idxmin(), "step_size"])


def test_other_settings_are_measured_at_multiples_of_their_parabola_s_best_step_size(tables):
    keys = ["own_batch", "direction", "batchnorm"]
    at = tables["curvature"].query("batch_size == 16").set_index(keys)
    others = tables["single_step"].query("range == 'near_parabola' and batch == 'own'").groupby(keys)
    assert len(others) == 3
    for key, line in others:
        best = -at.loc[key, "slope"] / abs(at.loc[key, "curvature"])
        assert line["step_size"].tolist() == pytest.approx([best * times for times in VARIED])
        assert line["loss"].iloc[0] == pytest.approx(at.loc[key, "loss"], rel=1e-5)


def test_lines_begin_at_the_losses_of_their_batches_and_go_down(lab, table):
    """Of more samples than go through at once, the mean of the parts; frozen statistics are recomputed ones."""
    stream, state, frozen = lab.stream(0, f"single_step/{LAST}", 16), lab.branch_point(0, LAST), lab.model()
    frozen.load_state_dict(evaluator(lab, SPLITS).recalibrated(state))
    plain = lab.model().train()
    restore(state, plain)
    own = table.query("batch == 'own'").set_index(["batch_size", "own_batch", "direction", "batchnorm", "step_size"])
    for key, model, batches in (
        ((16, 0, "gradient", "batch"), plain, [1]),
        ((16, 0, "momentum", "batch"), plain, [1]),
        ((16, 0, "gradient", "frozen"), frozen.eval(), [1]),
        ((32, 0, "gradient", "batch"), plain, [1, 2]),
        ((32, 1, "gradient", "batch"), plain, [3, 4]),
    ):
        with torch.no_grad():
            expected = np.mean([float(batch_loss(model, stream.batch(number))) for number in batches])
        losses = own.loc[key, "loss"].groupby("step_size").first()
        assert losses.iloc[0] == pytest.approx(expected, rel=1e-5)
        assert losses.iloc[1] < losses.iloc[0]


def test_the_decayed_run_is_one_trained_on_for_as_long_on_batches_as_a_step_sees_them(lab, snapshots):
    found = steps.measure(lab, Run(0))["decayed_run"].iloc[0]
    rates = lab.config.burn_in.rate * np.linspace(1.0, 0.0, 40, endpoint=False)
    model, stream = lab.model(), lab.stream(0, "reference")
    restore(advanced(lab, lab.snapshot(0, 40), 40, rates=rates.tolist()), model)
    with torch.no_grad():
        losses = [float(batch_loss(model.train(), stream.batch(number))) for number in range(1, 7)]  # 100 samples
    assert (found["steps"], found["loss"]) == (40, pytest.approx(np.mean(losses), rel=1e-5))


def test_a_decayed_run_that_diverges_is_a_row_without_a_loss(lab, snapshots, monkeypatch):
    def diverging(*given):
        raise DivergedError(41, 0.05, 1.0)

    monkeypatch.setattr(steps, "advance", diverging)
    assert steps.measure(lab, Run(0))["decayed_run"]["loss"].isna().tolist() == [True]


@pytest.mark.parametrize("device", DEVICES)
def test_gradient_and_curvature_are_those_of_finite_differences(device):
    """In float64, on a small network with BatchNorm: slope and curvature of the loss along the step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, 4)
    ).to(device, torch.float64)
    pictures, labels = torch.randn(3, 6, 1, 4, 4, dtype=torch.float64), torch.randint(0, 4, (3, 6))
    parts = [Batch(x.to(device), y.to(device)) for x, y in zip(pictures, labels, strict=True)]
    gradient = steps.mean_gradient(model, parts, "fp32")
    found = steps.expand(model, parts, gradient, "fp32")
    start = [p.detach().clone() for p in model.parameters()]

    def loss_at(step: float) -> float:
        with torch.no_grad():
            for p, w, g in zip(model.parameters(), start, gradient, strict=True):
                p.copy_(w - step * g)
        return steps.mean_loss(model, parts, "fp32")

    h = 1e-4
    assert found.loss == pytest.approx(loss_at(0.0), rel=1e-12)
    assert found.slope == pytest.approx((loss_at(h) - loss_at(-h)) / (2 * h), rel=1e-6)
    assert found.slope == pytest.approx(-sum(float(g.square().sum()) for g in gradient), rel=1e-9)
    assert found.curvature == pytest.approx((loss_at(h) - 2 * loss_at(0.0) + loss_at(-h)) / h**2, rel=1e-5)


def test_batches_of_the_run_s_size_have_parabolas_in_chunks_too(lab, branched):
    settings = replace(lab.config.single_step, chunk=8, batch_sizes=[16])
    here = Lab(replace(lab.config, single_step=settings), lab.runs, lab.device)
    found = steps.measure(here, BranchPoint(0, LAST))
    assert len(found["curvature"]) == 5
    assert set(found["single_step"]["range"]) >= {"near_parabola", "fit"}


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_second_derivatives_are_taken_in_full_precision(tmp_path, monkeypatch, request, precision):
    request.addfinalizer(lambda: make_deterministic("fp32"))
    make_deterministic(precision)
    noted, expand = [], steps.expand

    def noting(model, parts, direction, precision):
        noted.append((precision, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return expand(model, parts, direction, precision)

    monkeypatch.setattr(steps, "expand", noting)
    changes = {"model.precision": precision, "single_step.batch_sizes": [16], "single_step.own_batches": 1}
    lab = random_lab(tmp_path, smoke_config(**changes))
    burnt_in(lab)
    branched_off(lab)
    steps.measure(lab, BranchPoint(0, LAST))
    assert set(noted) == {("fp32", False, False)}
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")


def test_other_settings_are_measured_at_the_run_s_batch_size_late_in_the_run():
    """Frozen statistics on every own batch, the momentum direction on one alone."""
    config = smoke_config()
    every = product((8, 16, 32), (0, 1), config.branch.steps)
    others = {here: found[1:] for here in every if len(found := measured_settings(*here, config)) > 1}
    frozen, momentum = ("gradient", "frozen"), ("momentum", "batch")
    assert others == {
        (16, 0, 20): [frozen],
        (16, 1, 20): [frozen],
        (16, 0, 30): [frozen, momentum],
        (16, 1, 30): [frozen],
    }


@given(st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_near_the_lowest_lies_between_its_neighbours(losses):
    sizes = [0.1 * i for i in range(len(losses))]
    at = int(np.argmin(losses))
    low, high = sizes[max(at - 1, 0)], sizes[min(at + 1, len(sizes) - 1)]
    found = near_lowest(sizes, losses)
    assert all(low < x < high for x in found)
    assert not set(found) & set(sizes)
