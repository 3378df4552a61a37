"""Verdicts on distances in weight space, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, batch_losses, config, divergence, side_trips

from sidetrip.experiments.divergence import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

SCORES = side_trips()


def judged(scores=None, tables=None, **settings):
    tables = divergence() if tables is None else tables
    scores = SCORES if scores is None else scores
    return judge_of.judge({**tables, "side_trips": scores, "batch_losses": batch_losses()}, config(**settings))


def test_as_the_paper_has_it():
    found = judged()
    assert {row.verdict for row in found.values()} == {"reproduced"}
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["midpoint_distance"].interval.value == pytest.approx(1 / 3, rel=0.02)
    assert found["distance_saturates"].part == "change after ÷ fall before"


@pytest.mark.parametrize(("gap", "verdict"), [(0.05, "not reproduced"), (-0.05, "not reproduced"), (0.0, "reproduced")])
def test_the_midpoint_tracks_within_a_quarter_of_its_gain(gap, verdict):
    row = judged(side_trips(gap=gap))["midpoint_tracks_half_rate"]
    assert (row.verdict, row.quantity) == (verdict, "nats")
    assert row.ratio.value == pytest.approx(gap / 0.1, abs=0.03)


def test_tracking_is_signed_and_on_training_pictures():
    rows = [
        (0, 20, step, split, *losses)
        for split, shift in (("train", 0.0), ("validation", 5.0))
        for step, losses in ((0, (1, 1, 1)), (5, (1.0, 0.8 + shift, 0.75)), (10, (1.0, 0.6 + shift, 0.65)))
    ]
    table = pd.DataFrame(rows, columns=["seed", "branch", "trip_step", "split", "trip", "midpoint", "half_rate"])
    found = judge_of.tracking(table).iloc[0]
    assert found["gap"] == pytest.approx(0.0)  # +0.05 and -0.05
    assert found["gain"] == pytest.approx(0.3)


def test_the_looks_of_a_trip_are_the_two_point_windows_and_the_start_where_all_are_one():
    losses = judge_of.along_trips(SCORES)
    assert losses.columns.to_list() == ["seed", "branch", "trip_step", "split", "trip", "midpoint", "half_rate"]
    assert sorted(losses["trip_step"].unique()) == [0, 1, 5, 10]
    start = losses[losses["trip_step"] == 0]
    assert ((start["trip"] == start["midpoint"]) & (start["trip"] == start["half_rate"])).all()
    tables = divergence()
    found = judge_of.distances_along(tables["trip_distances"], tables["distances"])
    assert (found[found["trip_step"] == 0].drop(columns=["seed", "branch"]) == 0).all(axis=None)
    assert found["midpoint_to_half_rate"].notna().all()


def test_a_trip_at_half_the_rate_that_diverges_is_tracked_by_nothing():
    scores = SCORES.copy()
    trips = (scores["kernel"] == "two_point") & (scores["model"] == "trip")
    scores.loc[trips & (scores["seed"] == 1) & (scores["branch"] == 20) & (scores["window_steps"] > 1), "loss"] = np.nan
    row = judged(scores)["midpoint_tracks_half_rate"]
    assert (row.verdict, row.detail) == ("not reproduced", "a trip at half the rate diverged")
    scores.loc[trips, "loss"] = np.nan
    assert judged(scores)["midpoint_tracks_half_rate"].reason == "every trip at half the rate diverged"


@pytest.mark.parametrize(("distance", "verdict"), [(1.0, "reproduced"), (2.9, "not reproduced")])
def test_the_midpoint_is_nearer_than_an_independent_trip(distance, verdict):
    tables = divergence()
    tables["distances"]["average_to_trip"] = distance  # of 3 between independent trips
    assert judged(tables=tables)["midpoint_distance"].verdict == verdict


def test_an_independent_trip_that_diverges_is_near_nothing_and_has_no_end():
    tables = divergence()
    apart, along = tables["trip_distances"], tables["to_independent_end"]
    apart.loc[(apart["seed"] == 0) & (apart["trip_step"] == 10), "trip_to_independent"] = np.nan
    some = {**tables, "to_independent_end": along[(along["seed"] != 1) | (along["branch"] != LATE[0])]}
    found = judged(tables=some)
    assert found["midpoint_distance"].verdict == "not reproduced"
    saturates = found["distance_saturates"]
    assert (saturates.verdict, saturates.detail) == ("not reproduced", "1 independent trips diverged")
    apart["trip_to_independent"] = np.nan
    found = judged(tables={**tables, "to_independent_end": along.iloc[:0]})
    for name in ("midpoint_distance", "distance_saturates"):
        assert found[name].reason == "every independent trip diverged"


@pytest.mark.parametrize("change", [0.5, -0.05])
def test_a_distance_that_goes_on_has_not_saturated(change):
    """Whether it grows or falls on."""
    row = judged(tables=divergence(change_after=change))["distance_saturates"]
    assert (row.verdict, row.part) == ("not reproduced", "change after ÷ fall before")


def test_saturation_by_hand():
    steps = np.arange(0, 101, 10)
    falling = np.where(steps <= 50, 10 - 0.1 * steps, 5.2)
    table = pd.DataFrame({"seed": 0, "branch": 50, "step": steps, "distance": falling})
    found = judge_of.saturation(table).iloc[0]
    assert found["rank"] == pytest.approx(-1.0)
    assert found["change"] == pytest.approx(0.2 / 5)  # from the branch point to the end
    assert judge_of.saturation(table.assign(distance=10 + steps)).iloc[0]["change"] == np.inf
    assert judge_of.saturation(table.assign(distance=3.0)).iloc[0]["rank"] == 0.0


def test_a_distance_that_does_not_fall_is_refuted_with_a_number():
    tables = divergence()
    along = tables["to_independent_end"]
    along["distance"] = 20 - along["distance"]
    row = judged(tables=tables)["distance_saturates"]
    assert (row.verdict, row.interval.value) == ("not reproduced", pytest.approx(1.0))
    assert row.detail == f"the distance does not fall up to {2 * len(SEEDS)} of {2 * len(SEEDS)} branch points"


def test_too_few_snapshots_are_said():
    tables = divergence()
    along = tables["to_independent_end"]
    found = judged(tables={**tables, "to_independent_end": along[along["step"] > 22]})["distance_saturates"]
    assert "burn_in.snapshot_every" in found.reason


def test_a_falling_rate_shows_nothing_by_a_distance_that_stays():
    found = judged(**{"burn_in.schedule": "cosine"})
    assert isinstance(found["distance_saturates"], NotMeasured)
    assert found["midpoint_distance"].verdict == "reproduced"
