"""Verdicts on the gradients of a fixed batch, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, alignment, batch_losses, config

from sidetrip.experiments.alignment import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured


def judged(tables, **settings):
    return judge_of.judge({**tables, "batch_losses": batch_losses()}, config(**settings))


def test_as_the_paper_has_it():
    found = judged(alignment())
    assert {name: row.verdict for name, row in found.items()} == dict.fromkeys(judge_of.NAMES, "reproduced")
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["trips_aligned"].interval.value == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"growth": 0.3}, "fixed_gradient_norm"),
        ({"growth": -0.3}, "fixed_gradient_norm"),
        ({"cosine": 0.3}, "fixed_gradient_direction"),
        ({"between": 0.6}, "trips_aligned"),
        ({"others": 0.2}, "batch_gradients_orthogonal"),
        ({"others": -0.2}, "batch_gradients_orthogonal"),
    ],
)
def test_otherwise(changes, row):
    found = judged(alignment(**changes))
    assert {name for name, each in found.items() if each.verdict == "not reproduced"} == {row}


@pytest.mark.parametrize("trip", ["constant", "linear"])
def test_each_trip_is_to_keep_norm_and_direction(trip):
    tables = alignment()
    along = tables["alignment"]
    later = (along["trip"] == trip) & (along["trip_step"] > 5)
    along.loc[later, "fixed_norm"] *= 1.5
    along.loc[later, "fixed_cosine"] = 0.4
    found = judged(tables)
    for row in (found["fixed_gradient_norm"], found["fixed_gradient_direction"]):
        assert (row.verdict, row.part) == ("not reproduced", judge_of.TRIPS[trip])


def test_a_norm_s_change_by_hand():
    """Looks 0 to 5 are the first half, 6 to 10 the second; noise without a trend is no change."""
    along = alignment()["alignment"]
    along["fixed_norm"] = 1 + along["trip_step"] / 10
    expected = np.log(np.mean([1.6, 1.7, 1.8, 1.9, 2.0]) / np.mean([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]))
    assert judge_of.norm_changes(along).to_numpy() == pytest.approx(expected)
    zigzag = along.assign(fixed_norm=np.where(along["trip_step"].isin([2, 8]), 3.0, 1.0))
    assert abs(judge_of.norm_changes(zigzag)).max() < 0.06


def test_the_first_look_is_no_evidence_of_a_direction():
    """The cosine at step 0 is 1 by definition."""
    along = alignment(cosine=0.3)["alignment"]
    assert judge_of.shares_aligned(along, 0.5).to_numpy() == pytest.approx(0.0)


def test_fixed_batches_of_one_point_are_one_value():
    """The seed is the unit: more batches at a point make its mean better known, and do not count as more."""
    first = alignment(cosine=0.6)
    second = alignment(cosine=0.4)
    tables = {name: pd.concat([first[name], second[name].assign(fixed_batch=1)]) for name in first}
    row = judged(tables)["fixed_gradient_direction"]
    assert row.interval.value == pytest.approx(0.5)
    assert row.n == len(SEEDS)


def test_the_cosine_of_each_trip_is_told():
    """Their mean may lie within a limit that one of them is beyond."""
    tables = alignment()
    along = tables["alignment"]
    along["different_batches_cosine"] = np.where(along["trip"] == "constant", 0.12, 0.04)
    row = judged(tables)["batch_gradients_orthogonal"]
    assert row.interval.value == pytest.approx(0.08)
    assert row.detail == "0.12 on the trip at the run's rate, 0.04 on the trip with a linear decay"


def test_cosines_of_opposite_sign_cancel():
    """The mean signed cosine is judged, not its size."""
    tables = alignment()
    along = tables["alignment"]
    along["different_batches_cosine"] = np.where(along["trip_step"] % 2, 0.3, -0.3)
    odd, even = 5, 6  # looks of 0 to 10
    row = judged(tables)["batch_gradients_orthogonal"]
    assert row.interval.value == pytest.approx((0.3 * odd - 0.3 * even) / 11)
    assert row.verdict == "reproduced"


def lost(tables, chosen):
    """The chosen trips diverge after five steps."""
    along = tables["alignment"]
    rows = chosen(along) & (along["trip_step"] > 5)
    along.loc[rows, ["fixed_cosine", "different_batches_cosine", "fixed_norm"]] = np.nan
    along.loc[rows, "diverged"] = True
    return tables


def test_a_diverged_trip_keeps_no_gradient():
    found = judged(lost(alignment(), lambda along: (along["seed"] == 1) & (along["trip"] == "linear")))
    assert {(row.verdict, row.detail) for row in found.values()} == {("not reproduced", "a trip diverged")}


def test_if_all_diverged_that_is_the_reason():
    found = judged(lost(alignment(), lambda along: along["seed"] >= 0))
    assert all(row.reason == "every trip diverged" for row in found.values() if isinstance(row, NotMeasured))
    assert {type(row) for row in found.values()} == {NotMeasured}


def test_the_regime_has_the_length_of_the_trips():
    steps = config().alignment.steps
    assert {row.regime.trip_over_branch for row in judged(alignment()).values()} == {steps / min(LATE)}


@pytest.mark.filterwarnings("error")
def test_gradients_of_zero_are_not_measured():
    """They have neither a direction nor a share of one another."""
    tables = alignment()
    tables["alignment"] = tables["alignment"].assign(
        fixed_norm=0.0, fixed_cosine=np.nan, different_batches_cosine=np.nan
    )
    tables["between_trips"] = tables["between_trips"].assign(fixed_cosine=np.nan)
    assert all(isinstance(row, NotMeasured) for row in judged(tables).values())
