"""Rows and their parts are the differences that the losses were made of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_tables import SEEDS, batch_losses, config, mean_gradient, side_trips

from sidetrip.experiments.mean_gradient import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

NUMBER = st.floats(-0.5, 0.5)


def tables_of(**changes):
    return {"mean_gradient": mean_gradient(**changes), "side_trips": side_trips(), "batch_losses": batch_losses()}


def judged(tables, **changes):
    return judge_of.judge(tables, config(**changes))


@settings(max_examples=10)  # sums and differences, of which each draw shows all
@given(NUMBER, NUMBER, NUMBER)
def test_parts_are_what_the_losses_were_made_of(lift, of_weights, of_gradients):
    found = judge_of.lifts(tables_of(lift=lift, of_weights=of_weights, of_gradients=of_gradients, spread=0.0))
    by_model = found.groupby("model")["lift"]
    expected = {"momentary": lift, "average": of_weights - of_gradients, "trip": 0.0}
    for model, value in expected.items():
        assert by_model.get_group(model).to_numpy() == pytest.approx(value, abs=1e-12)
    gaps = judge_of.favours(found)
    assert gaps["gap_of_weights"].to_numpy() == pytest.approx(of_weights, abs=1e-12)
    assert gaps["gap_of_gradients"].to_numpy() == pytest.approx(of_gradients, abs=1e-12)
    assert gaps["favour"].to_numpy() == pytest.approx(of_weights - of_gradients, abs=1e-12)


@pytest.mark.parametrize(("lift", "verdict"), [(0.02, "reproduced"), (-0.02, "not reproduced"), (0.0, "undecided")])
def test_the_mean_of_weights_is_to_lie_higher(lift, verdict):
    row = judged(tables_of(lift=lift))["noise_lifts_the_mean"]
    assert (row.verdict, row.n, row.quantity) == (verdict, len(SEEDS), "nats")
    assert row.interval.value == pytest.approx(lift, abs=0.005)


def test_with_less_noise_the_trip_is_to_lead_by_less_for_both_methods_and_splits():
    assert judged(tables_of())["noise_favours_the_trip"].verdict == "reproduced"
    assert judged(tables_of(of_gradients=0.03))["noise_favours_the_trip"].verdict == "not reproduced"
    for kernel, title in (("swa", "SWA"), ("two_point", "Two-point"), ("ema", None)):
        tables = tables_of()
        table = tables["mean_gradient"]
        there = (table["kernel"] == kernel) & (table["split"] == "train") & (table["mean_of"] == "gradients")
        table.loc[there & (table["model"] == "average"), "loss"] += 0.1
        row = judged(tables)["noise_favours_the_trip"]
        if title is None:
            assert row.verdict == "reproduced"  # it is not asked for
        else:
            assert (row.verdict, row.part) == ("not reproduced", f"{title}, training loss")


def test_where_no_trip_is_left_nothing_is_measured():
    tables = tables_of()
    tables["mean_gradient"] = tables["mean_gradient"].query("model != 'trip'")
    rows = judged(tables)
    assert rows["noise_lifts_the_mean"].verdict == "reproduced"
    assert isinstance(rows["noise_favours_the_trip"], NotMeasured)
    tables["mean_gradient"] = tables["mean_gradient"].iloc[:0]
    assert all(isinstance(row, NotMeasured) for row in judged(tables).values())


@pytest.mark.parametrize("changes", [{"burn_in.optimizer.name": "adamw"}, {"burn_in.clip": 1.0}])
def test_a_step_that_is_not_linear_in_the_gradient_shows_nothing(changes):
    assert all(isinstance(row, NotMeasured) for row in judged(tables_of(), **changes).values())
