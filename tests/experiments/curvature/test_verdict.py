"""The analytic model's prediction beside the measured difference, on tables whose answer is known."""

import numpy as np
import pytest
from verdict_tables import SEEDS, batch_losses, config, curvature_nodes, side_trips

from sidetrip.experiments.curvature import verdict as judge_of
from sidetrip.experiments.methods import METHODS
from sidetrip.measure.second_order import Spectrum, predict

ROW = "second_order_predicts"


def tables_of(nodes, scores=None):
    scores = side_trips() if scores is None else scores
    return {"curvature_nodes": nodes, "side_trips": scores, "batch_losses": batch_losses()}


def as_predicted(nodes, gain=0.1, times=1.0):
    """Scores whose average − trip is `times` what the model predicts of it."""
    scores = side_trips(gain=gain, spread=0.0005)
    for row in judge_of.predictions(tables_of(nodes), config()).drop_duplicates(judge_of.KEYS).dropna().itertuples():
        here = (scores["kernel"] == row.kernel) & (scores["window_steps"] == row.window_steps)
        scores.loc[here & (scores["model"] == "trip"), "loss"] -= times * row.predicted * gain
    return scores


def test_noise_in_one_direction_is_predicted_as_one_degree_of_freedom_is():
    """Whatever its size, and the same from every start and branch point."""
    settings = config()
    rate, momentum = settings.burn_in.rate, settings.burn_in.optimizer.momentum
    found = judge_of.predictions(tables_of(curvature_nodes([2.0], [3.0])), settings)
    found = found.set_index(["seed", "kernel", "window_steps"])
    assert len(found) == len(SEEDS) * sum(len(method.kernels(settings.side_trips)) for method in METHODS)
    for method in METHODS:
        for kernel in method.kernels(settings.side_trips):
            expected = predict(kernel, kernel.schedule(), Spectrum(*map(np.array, ([2.0], [3.0]))), rate, momentum)
            row = found.loc[(4, method.name, kernel.steps)]
            assert row["predicted_gain"] == pytest.approx(expected.gain)
            assert row["predicted"] == pytest.approx(expected.difference, nan_ok=True)


def test_each_seed_has_its_own_spectrum_the_mean_over_starts_and_late_branch_points():
    nodes = curvature_nodes([0.5, 4.0], [1.0, 0.25])
    nodes.loc[nodes["seed"] == 1, "power"] *= 3.0
    spectra = judge_of.spectra(nodes)
    assert spectra[0].power.sum() == pytest.approx(1.25)
    assert spectra[1].power.sum() == pytest.approx(3.75)
    assert (spectra[0].power * spectra[0].curvature).sum() == pytest.approx(0.5 * 1.0 + 4.0 * 0.25)


def test_measured_is_the_late_difference_over_the_gain():
    found = judge_of.predictions(tables_of(curvature_nodes(), side_trips(0.02, spread=0.0, early_gap=0.5)), config())
    assert found["measured"].to_numpy() == pytest.approx(0.2)
    assert found["gain"].to_numpy() == pytest.approx(0.1)


@pytest.mark.parametrize(("times", "verdict"), [(1.0, "reproduced"), (0.0, "not reproduced"), (-1.0, "not reproduced")])
def test_a_prediction_is_to_come_nearer_than_no_difference(times, verdict):
    nodes = curvature_nodes()
    row = judge_of.judge(tables_of(nodes, as_predicted(nodes, times=times)), config())[ROW]
    assert (row.verdict, row.n) == (verdict, len(SEEDS))
    if times:  # a² − (p − a)² at p = times × a
        squares = judge_of.predictions(tables_of(nodes), config())["predicted"].dropna() ** 2
        assert row.interval.value == pytest.approx((1.0 if times == 1.0 else -3.0) * squares.mean(), rel=0.1)


@pytest.mark.parametrize(
    ("nodes", "settings", "reason"),
    [
        (curvature_nodes(), {"burn_in.schedule": "cosine"}, "constant rate"),
        (curvature_nodes(), {"burn_in.optimizer.name": "nesterov"}, "SGD"),
        (curvature_nodes([1e4], [1.0]), {}, "too large"),
    ],
)
def test_where_the_model_does_not_apply_nothing_is_measured(nodes, settings, reason):
    tables = tables_of(nodes)
    assert reason in judge_of.judge(tables, config(**settings))[ROW].reason
    assert bool(judge_of.derived(tables, config(**settings))) == (not settings)
