"""Verdicts of the other experiments, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import alignment, batch_losses, config, divergence, fixed_batch, side_trips, single_step

from sidetrip.verdicts import alignment as judge_alignment
from sidetrip.verdicts import divergence as judge_divergence
from sidetrip.verdicts import fixed_batch as judge_fixed_batch
from sidetrip.verdicts import single_step as judge_single_step
from sidetrip.verdicts.equivalence_map import map_points
from sidetrip.verdicts.statistics import NotMeasured


def steps(**changes):
    curves, curvature = single_step(**changes)
    return judge_single_step.judge(
        {"single_step": curves, "curvature": curvature, "side_trips": side_trips()}, config()
    )


def test_one_step_as_the_paper_has_it():
    assert {name: row.verdict for name, row in steps().items()} == dict.fromkeys(
        ("single_step_floor", "single_step_gap", "single_step_rate", "quadratic_own", "batch_size_gap"), "reproduced"
    )


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"own_drop": 0.05}, "single_step_floor"),
        ({"held_drop": 0.5}, "single_step_gap"),
        ({"size_effect": False}, "batch_size_gap"),
    ],
)
def test_one_step_otherwise(changes, row):
    assert steps(**changes)[row].verdict != "reproduced"


def test_numbers_of_one_step_by_hand():
    curves, curvature = single_step(own_drop=0.6, held_drop=0.02)
    best = judge_single_step.best_steps(curves).set_index(["seed", "batch_size", "batch"])
    own, held = best.loc[(0, 16, "own")].iloc[0], best.loc[(0, 16, "held_out")].iloc[0]
    assert (own["best_step_size"], own["relative_drop"]) == (1.0, pytest.approx(0.6))
    assert (held["best_step_size"], held["relative_drop"]) == (0.25, pytest.approx(0.02))
    fit = judge_single_step.parabolas(curves, curvature).iloc[0]
    assert fit["r_squared"] == pytest.approx(1.0)
    assert fit["lowest_degree"] == 2
    assert fit["valid_to"] == 2.0  # it is a parabola everywhere
    factors = judge_single_step.curvature_at_rate(curvature, config())
    assert factors.to_numpy() == pytest.approx(0.05 / 0.1)  # λ/(1 - μ) × gᵀHg/gᵀg = 1


def test_a_held_out_loss_that_no_step_lowers_is_not_measured():
    found = steps(held_drop=0.0)["batch_size_gap"]
    assert isinstance(found, NotMeasured)
    assert "no step lowers" in found.reason


def judged_batch(**changes):
    return judge_fixed_batch.judge({"fixed_batch": fixed_batch(**changes)}, config())


def test_one_batch_as_the_paper_has_it():
    assert {row.verdict for row in judged_batch().values()} == {"reproduced"}


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"own_end": 0.5}, "fixed_batch_floor"),
        ({"held_out_end": 0.5}, "fixed_batch_held_out"),
        ({"hill": 0.5}, "fixed_batch_basin"),
    ],
)
def test_one_batch_otherwise(changes, row):
    assert judged_batch(**changes)[row].verdict == "not reproduced"


def test_a_rise_is_over_the_worse_end():
    table = fixed_batch(hill=0.3)
    slope = np.where((table["steps"] == 3), table["alpha"], 0.0)  # the later run ends higher by 1
    found = judge_fixed_batch.lines(table.assign(loss=table["loss"] + slope)).query("batch == 'own'").iloc[0]
    assert found["rise"] == pytest.approx(0.0, abs=1e-9)  # 0.8 in the middle, 1 at the worse end
    assert found["rise_over_line"] == pytest.approx(0.3, abs=1e-9)


def test_a_run_on_one_batch_that_diverges_holds_nothing():
    table = fixed_batch()
    table.loc[(table["seed"] == 2) & (table["steps"] == 3), "loss"] = np.nan
    found = judge_fixed_batch.judge({"fixed_batch": table}, config())
    assert {row.verdict for row in found.values()} == {"not reproduced"}
    empty = judge_fixed_batch.judge({"fixed_batch": table.assign(loss=np.nan)}, config())
    assert all(isinstance(row, NotMeasured) for row in empty.values())


def gradients(**changes):
    return judge_alignment.judge(alignment(**changes), config())


def test_gradients_as_the_paper_has_them():
    assert {name: row.verdict for name, row in gradients().items()} == dict.fromkeys(
        ("fixed_gradient_norm", "fixed_gradient_direction", "trips_aligned", "batch_gradients_orthogonal"), "reproduced"
    )


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"growth": 0.3}, "fixed_gradient_norm"),
        ({"cosine": 0.3}, "fixed_gradient_direction"),
        ({"between": 0.5}, "trips_aligned"),
        ({"others": 0.2}, "batch_gradients_orthogonal"),
        ({"others": -0.2}, "batch_gradients_orthogonal"),
    ],
)
def test_gradients_otherwise(changes, row):
    assert gradients(**changes)[row].verdict == "not reproduced"


def test_a_norm_s_change_by_hand():
    """Looks 0 to 5 are the first half, 6 to 10 the second."""
    along = alignment(growth=1.0)["alignment"]
    along["fixed_norm"] = 1 + along["trip_step"] / 10
    expected = np.log(np.mean([1.6, 1.7, 1.8, 1.9, 2.0]) / np.mean([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]))
    assert judge_alignment.norm_changes(along).to_numpy() == pytest.approx(expected)


def test_a_diverged_trip_keeps_no_gradient():
    tables = alignment()
    along = tables["alignment"]
    lost = (along["seed"] == 1) & (along["trip"] == "linear") & (along["trip_step"] > 5)
    along.loc[lost, ["fixed_cosine", "different_batches_cosine", "fixed_norm"]] = np.nan
    along.loc[lost, "diverged"] = True
    assert {row.verdict for row in judge_alignment.judge(tables, config()).values()} == {"not reproduced"}


def test_trips_apart_as_the_paper_has_them():
    tables = {**divergence(), "side_trips": side_trips()}
    assert {row.verdict for row in judge_divergence.judge(tables, config()).values()} == {"reproduced"}


def test_a_distance_that_goes_on_has_not_saturated():
    tables = {**divergence(change_after=0.5), "side_trips": side_trips()}
    row = judge_divergence.judge(tables, config())["distance_saturates"]
    assert (row.verdict, row.part) == ("not reproduced", "change after ÷ fall before")
    falling = judge_divergence.judge(tables, config(**{"burn_in.schedule": "cosine"}))["distance_saturates"]
    assert isinstance(falling, NotMeasured)


def test_saturation_by_hand():
    steps = np.arange(0, 101, 10)
    falling = np.where(steps <= 50, 10 - 0.1 * steps, 5.2)
    table = pd.DataFrame({"seed": 0, "branch": 50, "step": steps, "distance": falling})
    found = judge_divergence.saturation(table).iloc[0]
    assert found["rank"] == pytest.approx(-1.0)
    assert found["change"] == pytest.approx(0.2 / 5)
    assert judge_divergence.saturation(table.assign(distance=10 + steps)).iloc[0]["change"] == np.inf


def test_tracking_is_signed_and_on_training_pictures():
    rows = [
        (0, 20, step, split, *losses)
        for split, shift in (("train", 0.0), ("validation", 5.0))
        for step, losses in ((0, (1, 1, 1)), (5, (1.0, 0.8 + shift, 0.75)), (10, (1.0, 0.6 + shift, 0.65)))
    ]
    table = pd.DataFrame(rows, columns=["seed", "branch", "trip_step", "split", "trip", "midpoint", "half_rate"])
    found = judge_divergence.tracking(table).iloc[0]
    assert found["gap"] == pytest.approx(0.0)  # +0.05 and -0.05
    assert found["gain"] == pytest.approx(0.3)


def test_the_map_judges_every_window_at_every_point():
    tables = {"side_trips": side_trips(gap=0.0, early_gap=0.08), "batch_losses": batch_losses()}
    points = map_points(tables, config()).set_index(["kernel", "branch", "window_steps"])
    assert len(points) == 3 * (3 + 3 + 1)
    assert points.loc[("swa", 30, 10), "verdict"] == "equivalent"
    assert points.loc[("swa", 10, 10), "verdict"] == "not equivalent"
    assert points.loc[("swa", 20, 5), "window_over_branch"] == 0.25
    assert points["rate_over_batch"].to_numpy() == pytest.approx(0.05 / 16)
    assert points.loc[("swa", 10, 10), "ratio"] == pytest.approx(0.8, abs=0.05)
