"""Rows and their parts are the differences that the losses were made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_tables import LATE, SEEDS, batch_losses, config, mean_gradient, side_trips

from sidetrip.experiments.mean_gradient import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured
from sidetrip.verdicts.scores import compared

NUMBER = st.floats(-0.5, 0.5)


def tables_of(**changes):
    return {"mean_gradient": mean_gradient(**changes), "side_trips": side_trips(), "batch_losses": batch_losses()}


def judged(tables):
    return judge_of.judge(tables, config())


@given(NUMBER, NUMBER, NUMBER)
def test_parts_are_what_the_losses_were_made_of(lift, of_weights, of_gradients):
    tables = tables_of(lift=lift, of_weights=of_weights, of_gradients=of_gradients, spread=0.0)
    found = judge_of.parts(tables, config())
    for name, value in (("lift", lift), ("of_weights", of_weights), ("of_gradients", of_gradients)):
        assert found[name].to_numpy() == pytest.approx(value, abs=1e-12)
    window = int(found["window_steps"].max())
    gains = compared(tables["side_trips"], "swa", window)["gain"].xs("loss", level="metric")
    for row in found[found["kernel"] == "swa"].itertuples():
        assert row.gain == gains[row.split, row.seed, LATE[-1]]


@pytest.mark.parametrize(("lift", "verdict"), [(0.02, "reproduced"), (-0.02, "not reproduced"), (0.0, "undecided")])
def test_the_mean_of_weights_is_to_lie_higher(lift, verdict):
    row = judged(tables_of(lift=lift))["noise_lifts_the_mean"]
    assert (row.verdict, row.n, row.quantity) == (verdict, len(SEEDS), "nats")
    assert row.interval.value == pytest.approx(lift, abs=0.005)


def test_with_less_noise_the_trip_is_to_gain_less_for_both_methods_and_splits():
    assert judged(tables_of())["noise_favours_the_trip"].verdict == "reproduced"
    assert judged(tables_of(of_gradients=0.03))["noise_favours_the_trip"].verdict == "not reproduced"
    for kernel, title in (("swa", "SWA"), ("two_point", "Two-point")):
        tables = tables_of()
        table = tables["mean_gradient"]
        there = (table["kernel"] == kernel) & (table["split"] == "train") & (table["mean_of"] == "gradients")
        table.loc[there & (table["model"] == "average"), "loss"] += 0.1
        row = judged(tables)["noise_favours_the_trip"]
        assert row.verdict == "not reproduced"
        assert row.part.startswith(title) and "training" in row.part
    tables = tables_of()
    table = tables["mean_gradient"]
    there = (table["kernel"] == "ema") & (table["model"] == "average") & (table["mean_of"] == "gradients")
    table.loc[there, "loss"] += 0.1
    assert judged(tables)["noise_favours_the_trip"].verdict == "reproduced"


def test_where_no_trip_is_left_nothing_is_measured():
    tables = tables_of()
    tables["mean_gradient"] = tables["mean_gradient"].query("model != 'trip'")
    rows = judged(tables)
    assert rows["noise_lifts_the_mean"].verdict == "reproduced"
    assert isinstance(rows["noise_favours_the_trip"], NotMeasured)
    tables["mean_gradient"] = tables["mean_gradient"].iloc[:0]
    assert all(isinstance(row, NotMeasured) for row in judged(tables).values())
