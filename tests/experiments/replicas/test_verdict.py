"""Noise and place come apart exactly on a quadratic loss, and the rows on them are judged as they say."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from verdict_tables import LATE, SEEDS, batch_losses, config, curvature_nodes, replicas, side_trips

from sidetrip.experiments.curvature.verdict import predictions
from sidetrip.experiments.replicas import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

NOISE = st.floats(0.001, 1.0)


def tables_of(**changes):
    return {**replicas(**changes), "batch_losses": batch_losses(), "curvature_nodes": curvature_nodes()}


def judged(**changes):
    return judge_of.judge(tables_of(**changes), config())


@hypothesis_settings(max_examples=10)  # sums and differences, of which each draw shows all
@given(NOISE, NOISE, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_both_parts_are_what_the_losses_were_made_of(noise_of_average, noise_of_trip, rest_of_average, slide):
    made = {"average": (noise_of_average, rest_of_average), "trip": (noise_of_trip, -slide)}
    found = judge_of.parts(tables_of(spread=0.0, momentary=(3.0, 0.0), as_far=(2.0, 0.0), **made), config())
    assert found["gain"].to_numpy() == pytest.approx(3.0 - noise_of_average - rest_of_average)
    assert found["noise_average"].to_numpy() == pytest.approx(noise_of_average)
    assert found["noise_trip"].to_numpy() == pytest.approx(noise_of_trip)
    assert found["noise"].to_numpy() == pytest.approx(noise_of_average - noise_of_trip)
    assert found["rest"].to_numpy() == pytest.approx(rest_of_average + slide)
    assert found["slide"].to_numpy() == pytest.approx(slide, abs=1e-12)
    assert found["difference"].to_numpy() == pytest.approx((found["noise"] + found["rest"]).to_numpy())


def test_both_predictions_add_up_to_that_of_the_difference_at_the_last_branch_point():
    tables = tables_of()
    others = tables["curvature_nodes"]["branch"] != LATE[-1]
    only = {"curvature_nodes": tables["curvature_nodes"][~others], "side_trips": side_trips()}
    whole = predictions(tables | only, config()).set_index(["seed", "kernel", "window_steps"])["predicted"]
    tables["curvature_nodes"].loc[others, "power"] *= 7.0
    tables["curvature_nodes"].loc[others, "curvature"] /= 3.0
    found = judge_of.parts(tables, config()).set_index(["seed", "kernel", "window_steps"])
    together = found["predicted_noise"] + found["predicted_rest"]
    assert together.notna().all()
    assert together.to_numpy() == pytest.approx(whole.reindex(found.index).to_numpy())


@pytest.mark.parametrize(("slide", "verdict"), [(0.05, "reproduced"), (-0.05, "not reproduced")])
def test_a_trip_is_to_end_below_the_run_that_came_as_far(slide, verdict):
    row = judged(trip=(0.02, -slide), momentary=(0.3, -1.0))["trip_mean_is_lower"]
    assert (row.verdict, row.n, row.quantity) == (verdict, len(SEEDS), "nats")
    assert row.interval.value == pytest.approx(slide, abs=0.005)


def test_it_is_to_be_so_on_both_splits():
    tables = tables_of(trip=(0.02, -0.05))
    for table in (tables["replicas"], tables["replica_means"]):
        table.loc[(table["split"] == "train") & (table["model"] == "as_far"), "loss"] -= 0.1
    row = judge_of.judge(tables, config())["trip_mean_is_lower"]
    assert (row.verdict, row.part) == ("not reproduced", "training loss")


@pytest.mark.parametrize(("times", "verdict"), [(1.0, "reproduced"), (1.2, "reproduced"), (0.5, "not reproduced")])
def test_noise_is_to_be_within_a_quarter_of_the_prediction_for_each_method(times, verdict):
    """That one method's is, helps no other."""
    predicted = judge_of.parts(tables_of(), config()).groupby("kernel")["predicted_noise"].mean()
    for wrong in (set(predicted.index), {"swa"}):
        trips = {
            kernel: (0.01 - (times if kernel in wrong else 1.0) * share * (0.1 - 0.01), 0.0)
            for kernel, share in predicted.items()
        }
        row = judged(average=(0.01, 0.0), momentary=(0.1, 0.0), trip=trips, spread=0.0001)["replica_noise_predicted"]
        assert row.verdict == verdict
        assert times != 0.5 or len(wrong) > 1 or row.part == "SWA"


@pytest.mark.parametrize("split", ["train", "validation"])
def test_seeds_without_a_number_are_told_of(split):
    """Also where the part that is shown has all of them: which that is, depends on its size alone."""
    tables = tables_of()
    assert not any("seeds" in row.detail for row in judge_of.judge(tables, config()).values())
    lost = f"seed == {SEEDS[0]} and model == 'trip' and split == '{split}'"
    tables |= {name: tables[name].query(f"not ({lost})") for name in ("replicas", "replica_means")}
    rows = judge_of.judge(tables, config())
    said = f"without 1 of {len(SEEDS)} seeds, in which a trip or the run diverged"
    assert rows["trip_mean_is_lower"].detail.endswith(said)
    assert (said in rows["replica_noise_predicted"].detail) == (split == "validation")  # which it is about


def test_without_curvature_or_trips_nothing_is_measured():
    settings = config(**{"experiments.curvature": False})
    rows = judge_of.judge(replicas() | {"batch_losses": batch_losses()}, settings)
    assert "curvature" in rows["replica_noise_predicted"].reason
    assert rows["trip_mean_is_lower"].verdict == "reproduced"
    tables = tables_of()
    lost = {name: tables[name].query("model != 'trip'") for name in ("replicas", "replica_means")}
    assert all(isinstance(row, NotMeasured) for row in judge_of.judge(tables | lost, config()).values())
