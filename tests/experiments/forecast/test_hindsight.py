"""Estimates in hindsight: what they may know, and how wide their interval is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from verdict_tables import BEGINS, SEEDS, config, cool_downs, curvature_nodes, merged_snapshots

from sidetrip.experiments.curvature.model import spectra
from sidetrip.experiments.forecast.hindsight import hindsight, hindsight_line, prediction_interval, staircases
from sidetrip.kernels import Kernel, Schedule
from sidetrip.loss_forecast import CONFIDENCE, LEAST
from sidetrip.measure.second_order import predict


def test_an_estimate_is_the_merged_score_less_what_earlier_cool_downs_gained():
    found = hindsight(cool_downs(gap=0.01, spread=0.0))
    assert (found["estimate"] - found["cool_down"]).abs().max() < 1e-12
    of_loss = found.query("metric == 'loss'")
    assert (of_loss["momentary"] - of_loss["cool_down"]).to_numpy() == pytest.approx(0.11)
    assert (of_loss["merged"] - of_loss["cool_down"]).to_numpy() == pytest.approx(0.01)


def test_nothing_that_began_as_late_has_a_part_in_an_estimate():
    table = cool_downs()
    before = hindsight(table)
    late = (table["branch"] >= 30) & (table["model"] == "cool-down")
    after = hindsight(table.assign(loss=table["loss"] + 5.0 * late))
    at_30 = before["branch"] == 30
    columns = ["learned", "estimate", "low", "high"]
    assert before.loc[at_30, columns].equals(after.loc[at_30, columns])
    assert not before.loc[before["branch"] == 35, "estimate"].equals(after.loc[before["branch"] == 35, "estimate"])


def test_it_learns_from_the_cool_downs_of_all_runs():
    found = hindsight(cool_downs())
    learned = found.groupby("branch")["learned"].unique().map(list).to_dict()
    assert learned == {begin: [n * len(SEEDS)] for n, begin in enumerate(BEGINS) if n}
    table = cool_downs()
    lost = (table["branch"] == 20) & (table["seed"] == 0) & (table["model"] == "cool-down")
    found = hindsight(table.assign(loss=table["loss"].mask(lost))).query("metric == 'loss'")
    assert set(found["learned"]) == {n * len(SEEDS) - 1 for n in (1, 2, 3)}


def test_an_estimate_along_the_run_begins_where_cool_downs_began_before_its_window():
    tables = {"cool_downs": cool_downs(), "merged_snapshots": merged_snapshots()}
    line = hindsight_line(tables, config()).query("metric == 'loss' and decay == 'linear'").set_index("step")
    assert line.loc[25, "learned"] == 0
    assert np.isnan(line.loc[25, "estimate"])
    assert line.loc[30, "learned"] == len(SEEDS)  # those that began at step 20, not those of step 25
    assert line.loc[30, "low"] < line.loc[30, "estimate"] < line.loc[30, "high"] < line.loc[30, "merged"]


@given(st.lists(st.floats(-3, 3), min_size=LEAST, max_size=12))
def test_the_interval_of_the_next_value_is_student_s(values):
    """Of its difference from the mean of the others, whose variance is 1 + 1/n times that of one."""
    scale = np.std(values, ddof=1) * (1 + 1 / len(values)) ** 0.5
    expected = np.mean(values) + scale * np.array(student.interval(CONFIDENCE, len(values) - 1))
    assert prediction_interval(np.array(values)) == pytest.approx((np.mean(values), *expected))
    assert np.isnan(prediction_interval(np.array([1.0, 2.0]))).all()


def test_sparse_averages_part_from_decays_as_measured_and_as_predicted():
    tables = {"cool_downs": cool_downs(gap=0.01, gain=0.1, spread=0.0), "curvature_nodes": curvature_nodes()}
    table = staircases(tables, config()).set_index(["decay", "spacing_steps"])
    assert table["measured"].to_numpy() == pytest.approx(0.1)
    burn_in = config().burn_in
    for spacing, weights in ((1, Kernel.swa(5).weights), (5, [0.4, 0.0, 0.0, 0.0, 0.0, 0.6])):
        predicted = [
            predict(Kernel(weights), Schedule.linear(5), spectrum, burn_in.rate, burn_in.optimizer.momentum).difference
            for spectrum in spectra(tables["curvature_nodes"]).values()
        ]
        assert table.loc[("linear", spacing), "predicted"] == pytest.approx(np.mean(predicted))
