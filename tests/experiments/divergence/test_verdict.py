"""Verdicts on distances in weight space, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import SEEDS, batch_losses, config, divergence, side_trips, verdicts

from sidetrip.experiments.divergence import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

OTHERS = {"side_trips": side_trips(), "batch_losses": batch_losses()}
TRACKS, SATURATES = "midpoint_tracks_half_rate", "distance_saturates"


def judged(tables=None, **settings):
    return judge_of.judge({**(tables or divergence()), **OTHERS}, config(**settings))


def test_as_the_paper_has_it():
    found = judged()
    assert set(verdicts(found).values()) == {"reproduced"}
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["midpoint_distance"].interval.value == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize(
    ("gap", "outcome"), [(0.05, "differs"), (-0.05, "differs"), (0.01, "differs within a quarter"), (0.0, "equal")]
)
def test_the_midpoint_tracks_within_a_quarter_of_its_gain(gap, outcome):
    row = judged(divergence(gap=gap))[TRACKS]
    assert (row.outcome, row.quantity) == (outcome, "nats")
    assert (row.verdict == "not reproduced") == (outcome == "differs")
    assert row.ratio.value == pytest.approx(gap / 0.1, abs=0.03)


def test_tracking_is_signed_with_its_largest_size_beside_and_leaves_the_start_out():
    losses = {0: (1.0, 1.0, 1.0), 5: (1.0, 0.8, 0.75), 10: (1.0, 0.6, 0.67)}
    rows = [
        (0, 20, step, model, loss)
        for step, three in losses.items()
        for model, loss in zip(("trip", "midpoint", "half_rate"), three, strict=True)
    ]
    found = judge_of.tracking(pd.DataFrame(rows, columns=["seed", "branch", "trip_step", "model", "loss"])).iloc[0]
    assert found[["gap", "gain", "largest"]].tolist() == pytest.approx([(0.05 - 0.07) / 2, 0.3, 0.07])


def test_a_trip_at_half_the_rate_that_diverges_is_tracked_by_nothing():
    tables = divergence()
    losses = tables["trip_losses"]
    half = losses["model"] == "half_rate"
    losses.loc[half & (losses["seed"] == 1) & (losses["trip_step"] > 4), "loss"] = np.nan
    row = judged(tables)[TRACKS]
    assert (row.verdict, row.detail) == ("not reproduced", "a trip at half the rate diverged")
    losses.loc[half & (losses["trip_step"] > 4), "loss"] = np.nan
    assert judged(tables)[TRACKS].reason == "every trip at half the rate diverged"


@pytest.mark.parametrize(("distance", "verdict"), [(1.0, "reproduced"), (2.9, "not reproduced")])
def test_the_midpoint_is_nearer_than_an_independent_trip_at_the_end_of_the_window(distance, verdict):
    tables = divergence()
    apart = tables["trip_distances"]
    apart["midpoint_to_half_rate"] = np.where(apart["trip_step"] == 10, distance, 9.0)  # of 3 between independent trips
    assert judged(tables)["midpoint_distance"].verdict == verdict


def test_an_independent_trip_that_diverges_is_near_nothing_and_has_no_end():
    tables = divergence()
    apart, along = tables["trip_distances"], tables["to_independent_end"]
    apart.loc[(apart["seed"] == 0) & (apart["trip_step"] == 10), "trip_to_independent"] = np.nan
    found = judged({**tables, "to_independent_end": along[along["seed"] != 1]})
    assert found["midpoint_distance"].verdict == "not reproduced"
    assert (found[SATURATES].verdict, found[SATURATES].detail) == ("not reproduced", "1 independent trips diverged")
    apart["trip_to_independent"] = np.nan
    found = judged({**tables, "to_independent_end": along.iloc[:0]})
    for name in ("midpoint_distance", SATURATES):
        assert found[name].reason == "every independent trip diverged"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"level": 1.0}, "level over the last third ÷ distance at the point"),  # it does not fall
        ({"rise": 0.1}, "change within the last third ÷ level"),  # it goes on, up or down
        ({"rise": -0.1}, "change within the last third ÷ level"),
    ],
)
def test_a_distance_that_does_not_fall_or_does_not_stay_has_not_saturated(changes, part):
    row = judged(divergence(**changes))[SATURATES]
    assert (row.verdict, row.part) == ("not reproduced", part)


def test_saturation_by_hand():
    """The last third of the way from step 10 to 40 begins at step 30."""
    along = pd.DataFrame({"seed": 0, "branch": 10, "step": [10, 20, 30, 40], "distance": [8.0, 1.0, 4.0, 6.0]})
    found = judge_of.saturation(along.sample(frac=1, random_state=0)).iloc[0]
    assert found.tolist() == [5.0 / 8.0, 2.0 / 5.0]


@pytest.mark.parametrize(
    ("settings", "remedy"), [({"burn_in.schedule": "cosine"}, "falls"), ({"branch.early": []}, "add one")]
)
def test_where_nothing_would_be_shown_nothing_is_measured(settings, remedy):
    found = judged(**settings)
    assert isinstance(found[SATURATES], NotMeasured)
    assert remedy in found[SATURATES].reason
    assert found["midpoint_distance"].verdict == "reproduced"
