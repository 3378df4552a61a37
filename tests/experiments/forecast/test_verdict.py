"""Forecasts: what they may know, how wide their interval is, and the rows that judge them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from verdict_tables import SEEDS, batch_losses, config, cool_downs, merged_snapshots

from sidetrip.experiments.forecast import verdict as judge_of
from sidetrip.experiments.forecast.verdict import LEAST, errors, forecast_line, forecasts, prediction_interval

CLAIMS = config().claims


def judged(table, **settings):
    found = forecasts(table, CLAIMS)
    return judge_of.judge({"forecasts": found, "batch_losses": batch_losses()}, config(**settings))


def test_a_forecast_is_the_merged_score_less_what_earlier_cool_downs_gained():
    found = forecasts(cool_downs(gap=0.01, spread=0.0), CLAIMS).set_index("metric")
    assert found.loc["loss", "forecast"].to_numpy() == pytest.approx(0.89)
    assert found.loc["loss", "merged"].to_numpy() == pytest.approx(0.9)
    assert found.loc["accuracy", "forecast"].to_numpy() == pytest.approx(1 - 0.89 / 2)
    off = errors(found.reset_index()).query("metric == 'loss'")
    assert off["off_forecast"].abs().max() < 1e-12
    assert off["off_momentary"].to_numpy() == pytest.approx(0.11)


def test_nothing_that_began_as_late_has_a_part_in_a_forecast():
    table = cool_downs()
    before = forecasts(table, CLAIMS)
    late = (table["branch"] >= 15) & (table["model"] == "cool-down")
    changed = table.assign(loss=table["loss"] + 5.0 * late)
    after = forecasts(changed, CLAIMS)
    at_15 = before["branch"] == 15
    columns = ["learned", "forecast", "low", "high"]
    assert before.loc[at_15, columns].equals(after.loc[at_15, columns])
    assert not before.loc[~at_15, "forecast"].equals(after.loc[~at_15, "forecast"])


def test_the_first_cool_downs_have_no_forecast():
    found = forecasts(cool_downs(), CLAIMS)
    assert sorted(found["branch"].unique()) == [15, 25]
    assert set(found.loc[found["branch"] == 15, "learned"]) == {len(SEEDS)}
    assert set(found.loc[found["branch"] == 25, "learned"]) == {2 * len(SEEDS)}


def test_a_cool_down_that_diverged_teaches_nothing_and_is_told_of():
    table = cool_downs()
    lost = (table["branch"] == 25) & (table["seed"] == 0) & (table["model"] == "cool-down")
    rows = judged(table.assign(loss=table["loss"].mask(lost)))
    assert {row.verdict for row in rows.values()} == {"not reproduced"}
    assert "a cool-down diverged" in rows["forecast_covers"].detail
    first = (table["branch"] == 5) & (table["seed"] == 0) & (table["model"] == "cool-down")
    found = forecasts(table.assign(loss=table["loss"].mask(first)), CLAIMS).query("metric == 'loss'")
    assert set(found["learned"]) == {len(SEEDS) - 1, 2 * len(SEEDS) - 1}


def test_a_forecast_along_the_run_begins_where_cool_downs_began_before_its_window():
    tables = {"cool_downs": cool_downs(), "merged_snapshots": merged_snapshots()}
    line = forecast_line(tables, config()).query("metric == 'loss' and decay == 'linear'").set_index("step")
    assert line.loc[15, "learned"] == 0
    assert np.isnan(line.loc[15, "forecast"])
    assert line.loc[30, "learned"] == len(SEEDS)  # those that began at step 5, not those of step 15
    assert line.loc[30, "low"] < line.loc[30, "forecast"] < line.loc[30, "high"] < line.loc[30, "merged"]


@given(st.lists(st.floats(-3, 3), min_size=LEAST, max_size=12), st.sampled_from([0.8, 0.9]))
def test_the_interval_of_the_next_value_is_student_s(values, confidence):
    """Of its difference from the mean of the others, whose variance is 1 + 1/n times that of one."""
    scale = np.std(values, ddof=1) * (1 + 1 / len(values)) ** 0.5
    found = prediction_interval(np.array(values), confidence)
    expected = np.mean(values) + scale * np.array(student.interval(confidence, len(values) - 1))
    assert (found.low, found.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(("gap", "verdict"), [(0.05, "reproduced"), (0.0, "not reproduced")])
def test_a_correction_is_worth_what_it_corrects(gap, verdict):
    """Where merged models miss nothing, the noise of what was learned can only harm."""
    row = judged(cool_downs(gap=gap, spread=0.001))["forecast_beats_merged"]
    assert row.verdict == verdict if gap else row.verdict != "reproduced"


def test_rows_rest_on_the_spacing_of_the_snapshots():
    table = cool_downs(spread=0.0)
    others = (table["spacing_steps"] != 15) & (table["model"] == "merged")
    wrong = table.assign(loss=table["loss"] + others * np.where(table["branch"] == 25, 3.0, 0.0))
    for row in judged(wrong).values():
        assert row.verdict == "reproduced" or row.n == len(SEEDS)
    assert judged(wrong)["forecast_beats_momentary"].interval.value == pytest.approx(0.11)


def test_coverage_is_a_share_of_the_cool_downs():
    table = cool_downs(spread=0.001)
    row = judged(table)["forecast_covers"]
    assert 0.7 <= row.interval.value <= 1.0
    late = (table["branch"] > 5) & (table["model"] == "cool-down")
    off = judged(table.assign(loss=table["loss"] + np.where(late, table["branch"] * 1.0, 0.0)))["forecast_covers"]
    assert (off.interval.value, off.verdict) == (0.0, "not reproduced")
    assert off.detail == f"{len(SEEDS) * 2 * 3} forecasts, 0 within their interval"


def test_without_earlier_cool_downs_nothing_is_measured():
    rows = judged(cool_downs(seeds=(0,), begins=(5, 15)))
    assert {row.reason for row in rows.values()} == {"a forecast needs 3 cool-downs that began earlier"}
    assert not prediction_interval(np.array([1.0, 2.0]), 0.9).bounded
