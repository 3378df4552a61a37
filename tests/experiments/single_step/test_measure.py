"""One step: its direction, its curvature, and the step sizes that are tried."""

import numpy as np
import pytest
import torch
from helpers import advanced, branched_off, burnt_in, random_lab, smoke_config

from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.state import restore
from sidetrip.engine.training import batch_loss
from sidetrip.experiments.single_step import measure as steps
from sidetrip.experiments.units import BranchPoint

LAST = smoke_config().branch.points[-1]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(scope="module")
def table(lab, branched):
    return steps.measure(lab, BranchPoint(0, LAST))["single_step"]


def test_what_is_measured(table):
    settings = ["batch_size", "own_batch", "direction", "batchnorm"]
    found = table[settings].drop_duplicates().to_numpy().tolist()
    plain = [[size, own, "gradient", "batch"] for size in (8, 16, 32) for own in (0, 1)]
    assert sorted(found) == sorted([*plain, [16, 0, "gradient", "frozen"], [16, 0, "momentum", "batch"]])
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
        coarse = rows[rows["range"].isin(["wide", "zoom"])]
        near = rows[rows["range"] == "near_own"]
        best = coarse.loc[coarse["loss"].idxmin(), "step_size"]
        sizes = sorted(coarse["step_size"])
        low, high = sizes[max(sizes.index(best) - 1, 0)], sizes[min(sizes.index(best) + 1, len(sizes) - 1)]
        assert near["step_size"].between(low, high).all()
        fit = rows[rows["range"] == "fit"]["step_size"]
        refined = rows[rows["range"] != "fit"]
        assert fit.max() == pytest.approx(1.5 * refined.loc[refined["loss"].idxmin(), "step_size"])


def test_it_starts_at_the_batch_loss_and_descends(table):
    own = table.query("batch == 'own' and batchnorm == 'batch' and batch_size == 16 and own_batch == 0")
    start = own[own["step_size"] == 0]["loss"]
    assert start.nunique() == 1  # both directions start at the same loss
    first = own.loc[own["step_size"] > 0, "step_size"].min()
    assert (own.loc[own["step_size"] == first, "loss"] < start.iloc[0]).all()


def test_the_momentum_direction_is_what_the_optimizer_takes(lab, branched):
    """One step of the run, from its branch point, in the direction that the measurement steps along."""
    start = lab.branch_point(0, LAST)
    after = advanced(lab, start, 1)
    model = lab.model()
    restore(start, model)
    gradient = steps.mean_gradient(model.train(), [lab.stream(0).batch(LAST + 1)], "fp32")
    names = [name for name, _ in model.named_parameters()]
    direction = steps.applied_direction(gradient, start, names, lab.optimizer)
    for name, d in zip(names, direction, strict=True):
        expected = start.weights[name] - float(lab.rates[LAST]) * d
        assert torch.allclose(after.weights[name], expected, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("device", DEVICES)
def test_plain_gradient_against_finite_differences(lab, device):
    """Directional derivative in float64; no momentum, no weight decay in it."""
    model = lab.model().to(device).double().train()
    x, y = lab.stream(0).batch(1)
    batch = Batch(x.to(device).double(), y.to(device))
    gradient, values = steps.mean_gradient(model, [batch], "fp32"), []
    for step in (1e-6, -2e-6):  # to one side of where it was, then to the other
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradient, strict=True):
                p.add_(g, alpha=step)
            values.append(float(steps.batch_loss(model, batch)))
    squared = float(sum(g.square().sum() for g in gradient))
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(squared, rel=1e-4)


def test_curvature_is_that_of_finite_differences():
    """In float64, on a small network with BatchNorm: slope and curvature of the loss along the step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, 4)
    ).double()
    model.train()
    parts = [Batch(torch.randn(6, 1, 4, 4, dtype=torch.float64), torch.randint(0, 4, (6,))) for _ in range(3)]
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


def test_chunks_are_the_mean_of_their_parts(lab, table):
    stream, model = lab.stream(0, f"single_step/{LAST}", 16), lab.model()
    restore(lab.branch_point(0, LAST), model)
    model.train()
    rows = table.query("batch_size == 32 and batch == 'own' and step_size == 0 and range == 'wide'")
    with torch.no_grad():
        for own_batch, chunks in ((0, range(1, 3)), (1, range(3, 5))):
            expected = np.mean([float(batch_loss(model, stream.batch(i))) for i in chunks])
            assert rows.set_index("own_batch").loc[own_batch, "loss"] == pytest.approx(expected, rel=1e-6)


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
