"""What became of forecasts, and the rows that judge them."""

import numpy as np
import pandas as pd
import pytest
from helpers import smoke_config
from scipy.stats import binomtest
from verdict_tables import SEEDS, batch_losses, config, forecast_tables, run_loss

from sidetrip.engine.lab import Lab
from sidetrip.experiments.forecast import verdict as judge_of
from sidetrip.experiments.forecast.outcomes import _relative_rates, cells, outcomes

CLAIMS = config().claims


def judged(tables):
    return judge_of.judge({**tables, **judge_of.derived(tables, config()), "batch_losses": batch_losses()}, config())


def test_every_forecast_stands_beside_what_came_true_and_its_rivals():
    tables = forecast_tables(gap=0.01, spread=0.0)
    found = outcomes(tables, config())
    sealed = tables["sealed_forecasts"]
    pd.testing.assert_frame_equal(found[sealed.columns], sealed)  # every row once
    found = found.query("metric == 'loss'")
    assert (found["cool_down"] - [run_loss(begin + 5) - 0.11 for begin in found["branch"]]).abs().max() < 1e-12
    assert (found["drifted"] - found["cool_down"]).to_numpy() == pytest.approx(0.01)
    given = found[found["given"]]
    assert set(given.loc[given["branch"] < 35, "correction"]) == {"none"}
    assert set(given.loc[given["branch"] == 35, "correction"]) == {"learned"}
    assert found["covered"].eq(1.0).all()
    assert (found["power_law"].notna() == (found["branch"] >= 25)).all()  # three shapes had ended


def test_a_decay_buys_the_steps_that_the_run_takes_to_its_loss():
    """The run is .007 below where the decays end at steps 29.4 and 35.9, seen at the next look."""
    tables = forecast_tables(gap=0.007 - 0.1, gain=0.1, spread=0.0)
    found = outcomes(tables, config()).query("metric == 'loss'").groupby("branch")["steps_bought"].unique()
    assert {begin: list(values) for begin, values in found.items() if begin < 30} == {20: [10.0], 25: [15.0]}
    assert np.isnan(found[30]).all()
    assert np.isnan(found[35]).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_law_is_given_the_rates_of_the_run(lab, schedule):
    settings = smoke_config(**{"burn_in.schedule": schedule, "burn_in.warm_up": 5})
    rates = Lab(settings, lab.runs, lab.device).rates
    assert settings.burn_in.rate * _relative_rates(settings) == pytest.approx(rates, rel=1e-12)


def test_cells_count_what_lies_within_and_give_the_errors():
    tables = forecast_tables(gap=0.01, spread=0.0)
    found = outcomes(tables, config())
    wrong = (found["metric"] == "loss") & (found["decay"] == "cosine") & (found["seed"] == 1)
    moved = found.assign(covered=found["covered"].mask(wrong, 0.0), cool_down=found["cool_down"] + 0.3 * wrong)
    table = cells(moved, config()).set_index(["decay", "correction"])
    row = table.loc["cosine", "none"]
    share = binomtest(4 * 4, 4 * len(SEEDS)).proportion_ci(0.95)
    assert (row["n"], row["covered"]) == (4 * len(SEEDS), 4 * 4)
    assert (row["covered_low"], row["covered_high"]) == (share.low, share.high)
    assert row["bias"] == pytest.approx((4 * 0.01 - 0.29) / 5)
    assert row["error"] == pytest.approx(((4 * 0.01**2 + 0.29**2) / 5) ** 0.5)
    assert table.loc["linear", "learned"]["error"] == pytest.approx(0.0, abs=1e-12)
    none, rival = table.loc["linear", "none"], found.query("metric == 'loss' and decay == 'linear'")
    rival = rival[rival["correction"] == "none"].dropna(subset=["power_law"])
    assert 0 < none["n_power_law"] == len(rival) < none["n"]  # it is not there for the earlier cool-downs
    off = rival["power_law"] - rival["cool_down"]
    assert none["error_power_law"] == pytest.approx((off**2).mean() ** 0.5)


def test_rows_rest_on_what_the_command_gives():
    rows = judged(forecast_tables(gap=0.05, spread=0.001))
    held = {"beats_momentary", "beats_merged"}
    expected = {f"forecast_{name}" for name in {*held, "beats_drifted"}}
    expected |= {f"hindsight_{name}" for name in {*held, "covers"}}
    verdicts = {name: row.verdict for name, row in rows.items() if name != "forecast_beats_power_law"}
    assert verdicts == dict.fromkeys(expected, "reproduced") | {"forecast_covers": "not reproduced"}
    # Without cool-downs to learn from, .05 lies outside of a quarter of .1: all but those at step 35 are missed.
    assert rows["forecast_covers"].interval.value == pytest.approx(0.25, abs=0.05)
    assert rows["forecast_beats_drifted"].interval.value == pytest.approx(0.05, abs=0.003)


def test_a_correction_that_has_nothing_to_correct_is_worth_nothing():
    rows = judged(forecast_tables(gap=0.0, spread=0.001))
    assert rows["forecast_beats_drifted"].verdict != "reproduced"
    assert rows["hindsight_beats_merged"].verdict != "reproduced"


@pytest.mark.parametrize(
    ("share", "seeds", "verdict"),
    [(1.0, 2, "undecided"), (1.0, 17, "reproduced"), (0.75, 6, "undecided"), (0.25, 6, "not reproduced")],
)
def test_seeds_that_all_have_the_same_share_are_as_many_trials(share, seeds, verdict):
    """They show no spread, and an interval without width would decide everything."""
    index = pd.MultiIndex.from_product([range(seeds), range(4)], names=["seed", "branch"])
    row = judge_of._coverage(pd.Series(index.get_level_values("branch") < 4 * share, index, dtype=float), CLAIMS, "")
    assert row.verdict == verdict
    assert row.interval.value == share
    assert row.interval.low < share
    assert share == 1.0 or row.interval.high > share


def test_a_cool_down_that_diverged_is_told_of():
    tables = forecast_tables()
    downs = tables["cool_downs"]
    lost = (downs["branch"] == 35) & (downs["seed"] == 0) & (downs["model"] == "cool-down")
    rows = judged({**tables, "cool_downs": downs.assign(loss=downs["loss"].mask(lost))})
    assert {row.verdict for row in rows.values()} == {"not reproduced"}
    assert "a cool-down diverged" in rows["forecast_covers"].detail


def test_where_nothing_could_be_forecast_nothing_is_measured():
    tables = forecast_tables(seeds=(0,), begins=(20, 25))
    empty = {**tables, "sealed_forecasts": tables["sealed_forecasts"].iloc[:0]}
    rows = judged(empty)
    assert rows["forecast_covers"].reason == "no run had enough losses before its cool-downs"
    assert rows["hindsight_covers"].reason == "an estimate needs 3 cool-downs that began earlier"
    rows = judged(tables)
    assert rows["forecast_beats_drifted"].reason.endswith("no forecast had 3 cool-downs of its run to learn from")


def test_the_interval_of_a_share_ends_at_1():
    tables = forecast_tables()
    derived = judge_of.derived(tables, config())
    found = derived["forecasts"]
    one = (found["seed"] == SEEDS[0]) & (found.groupby("seed").cumcount() % 20 == 0)
    derived["forecasts"] = found.assign(covered=found["covered"].mask(one, 0.0))
    row = judge_of.judge({**tables, **derived, "batch_losses": batch_losses()}, config())["forecast_covers"]
    assert row.interval.low < row.interval.value < row.interval.high == 1.0
