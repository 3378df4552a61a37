"""Noise and place come apart exactly on a quadratic loss, and the rows on them are judged as they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_tables import SEEDS, batch_losses, config, curvature_nodes, replicas, side_trips

from sidetrip.experiments.curvature.verdict import predictions
from sidetrip.experiments.replicas import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

NOISE = st.floats(0.001, 1.0)


def tables_of(**changes):
    return {**replicas(**changes), "batch_losses": batch_losses(), "curvature_nodes": curvature_nodes()}


def judged(**changes):
    return judge_of.judge(tables_of(**changes), config())


@given(NOISE, NOISE, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_both_parts_are_what_the_losses_were_made_of(noise_of_average, noise_of_trip, centre_of_average, slide):
    made = {"average": (noise_of_average, centre_of_average), "trip": (noise_of_trip, -slide)}
    found = judge_of.parts(tables_of(spread=0.0, momentary=(3.0, 0.0), **made), config())
    gain = 3.0 - noise_of_average - centre_of_average
    assert found["gain"].to_numpy() == pytest.approx(gain)
    assert found["noise"].to_numpy() == pytest.approx((noise_of_average - noise_of_trip) / gain)
    assert found["centre"].to_numpy() == pytest.approx((centre_of_average + slide) / gain)
    assert found["slide"].to_numpy() == pytest.approx(slide / gain, abs=1e-12)
    assert found["difference"].to_numpy() == pytest.approx((found["noise"] + found["centre"]).to_numpy())


def test_both_predictions_add_up_to_that_of_the_difference():
    tables = tables_of()
    whole = predictions(tables | {"side_trips": side_trips()}, config()).set_index(["seed", "kernel", "window_steps"])
    found = judge_of.parts(tables, config()).set_index(["seed", "kernel", "window_steps"])
    together = found["predicted_noise"] + found["predicted_centre"]
    expected = whole.reindex(found.index)["predicted"]
    assert together.notna().all()
    assert together.to_numpy() == pytest.approx(expected.to_numpy())


@pytest.mark.parametrize(("slide", "verdict"), [(0.05, "reproduced"), (-0.05, "not reproduced")])
def test_a_trip_is_to_end_below_the_run_without_noise(slide, verdict):
    row = judged(trip=(0.02, -slide))["trips_slide_further"]
    assert (row.verdict, row.n) == (verdict, len(SEEDS))


def test_noise_is_to_be_nearer_to_the_prediction_than_to_no_difference():
    predicted = judge_of.parts(tables_of(), config()).groupby("kernel")["predicted_noise"].mean()
    gain = 0.1 - 0.01
    for times, verdict in ((1.0, "reproduced"), (0.0, "not reproduced"), (-1.0, "not reproduced")):
        trips = {kernel: (0.01 - times * share * gain, 0.0) for kernel, share in predicted.items()}
        row = judged(average=(0.01, 0.0), momentary=(0.1, 0.0), trip=trips, spread=0.0001)["replica_noise_predicted"]
        assert row.verdict == verdict


def test_without_curvature_or_trips_nothing_is_measured():
    settings = config(**{"experiments.curvature": False})
    rows = judge_of.judge(replicas() | {"batch_losses": batch_losses()}, settings)
    assert "curvature" in rows["replica_noise_predicted"].reason
    assert rows["trips_slide_further"].verdict == "reproduced"
    tables = tables_of()
    lost = {name: tables[name].query("model != 'trip'") for name in ("replicas", "replica_means")}
    assert all(isinstance(row, NotMeasured) for row in judge_of.judge(tables | lost, config()).values())
