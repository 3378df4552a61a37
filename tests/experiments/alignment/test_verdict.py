"""Verdicts on the gradients of a fixed batch, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, alignment, batch_losses, config, refuted, verdicts

from sidetrip.experiments.alignment import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured


def judged(tables, **settings):
    return judge_of.judge({**tables, "batch_losses": batch_losses()}, config(**settings))


def test_as_the_paper_has_it():
    found = judged(alignment())
    assert verdicts(found) == dict.fromkeys(judge_of.NAMES, "reproduced")
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["trips_aligned"].interval.value == pytest.approx(0.15, abs=0.01)
    assert {row.regime.trip_over_branch for row in found.values()} == {config().alignment.steps / min(LATE)}


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"growth": -0.3}, "fixed_gradient_norm"),
        ({"cosine": 0.3}, "fixed_gradient_direction"),
        ({"between": 0.6}, "trips_aligned"),
        ({"others": -0.2}, "batch_gradients_orthogonal"),
    ],
)
def test_otherwise(changes, row):
    assert refuted(judged(alignment(**changes))) == {row}


@pytest.mark.parametrize("trip", ["constant", "linear"])
def test_each_trip_is_judged(trip):
    """The mean of the cosines of different batches over both would lie within the limit."""
    tables = alignment(others=0.02)
    along = tables["alignment"]
    later = (along["trip"] == trip) & (along["trip_step"] > 5)
    along.loc[later, "fixed_norm"] *= 1.5
    along.loc[later, "fixed_cosine"] = 0.4
    along.loc[along["trip"] == trip, "different_batches_cosine"] += 0.1
    found = judged(tables)
    of_each = {"fixed_gradient_norm", "fixed_gradient_direction", "batch_gradients_orthogonal"}
    assert refuted(found) >= of_each
    assert {found[name].part for name in of_each} == {judge_of.TRIPS[trip]}
    assert found["batch_gradients_orthogonal"].interval.value == pytest.approx(0.12, abs=0.01)


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
    assert judge_of.shares_aligned(alignment(cosine=0.3)["alignment"], 0.5).to_numpy() == pytest.approx(0.0)


def test_fixed_batches_of_one_point_are_one_value():
    """The seed is the unit: more batches at a point make its mean better known, and do not count as more."""
    first, second = alignment(cosine=0.6), alignment(cosine=0.4)
    tables = {name: pd.concat([first[name], second[name].assign(fixed_batch=1)]) for name in first}
    row = judged(tables)["fixed_gradient_direction"]
    assert (row.interval.value, row.n) == (pytest.approx(0.5), len(SEEDS))


def test_the_signed_cosine_of_different_batches_is_judged_not_its_size():
    tables = alignment()
    along = tables["alignment"]
    along["different_batches_cosine"] = np.where(along["trip_step"] % 2 == 1, 0.3, -0.3)  # at five of eleven looks
    row = judged(tables)["batch_gradients_orthogonal"]
    assert (row.verdict, row.interval.value) == ("reproduced", pytest.approx(-0.3 / 11))


@pytest.mark.parametrize(("seeds", "all_lost"), [((1,), False), (SEEDS, True)])
def test_a_diverged_trip_keeps_no_gradient(seeds, all_lost):
    """After five steps; if all did, that is the reason."""
    tables = alignment()
    along = tables["alignment"]
    rows = along["seed"].isin(seeds) & (along["trip_step"] > 5)
    along.loc[rows, ["fixed_cosine", "different_batches_cosine", "fixed_norm"]] = np.nan
    along.loc[rows, "diverged"] = True
    found = judged(tables).values()
    if all_lost:
        assert {type(row) for row in found} == {NotMeasured}
        assert {row.reason for row in found} == {"every trip diverged"}
    else:
        assert {(row.verdict, row.detail) for row in found} == {("not reproduced", "a trip diverged")}


@pytest.mark.filterwarnings("error")
def test_gradients_of_zero_are_not_measured():
    """They have neither a direction nor a share of one another."""
    tables = alignment()
    tables["alignment"] = tables["alignment"].assign(
        fixed_norm=0.0, fixed_cosine=np.nan, different_batches_cosine=np.nan
    )
    tables["between_trips"] = tables["between_trips"].assign(fixed_cosine=np.nan)
    assert all(isinstance(row, NotMeasured) for row in judged(tables).values())
