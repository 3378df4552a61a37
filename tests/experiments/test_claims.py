"""claims.json: one row a statement, whatever the judges find."""

import json
import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from report_tables import all_tables
from verdict_tables import config, side_trips

from sidetrip.experiments import claims
from sidetrip.experiments.claims import measure, statements
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.records import OUTCOMES, Interval, Measured, NotMeasured, Regime

VERDICTS = {"reproduced", "not reproduced", "undecided", "not measured"}
ALWAYS = {"id", "source", "statement", "criterion", "analytic", "value", "low", "high", "n", "verdict", "regime"}


@cache
def base() -> dict[str, pd.DataFrame]:
    """All tables; no test changes them."""
    return all_tables()


def measured(settings=None, **tables) -> dict[str, dict]:
    found = measure(base() | tables, settings or config())
    json.dumps(found, allow_nan=False)
    return {row["id"]: row for row in found}


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    """All rows where everything is as the paper has it."""
    return measured()


def judging(judge, name: str = "another") -> SimpleNamespace:
    """An experiment that does nothing but judge."""
    return SimpleNamespace(name=name, part=lambda _: SimpleNamespace(judge=judge))


def set_judges(monkeypatch, *experiments) -> None:
    monkeypatch.setattr(claims, "shown", lambda config=None: iter(experiments))


def row_of(monkeypatch, found: Measured | NotMeasured) -> dict:
    """The first row, where every judge finds the same."""
    set_judges(monkeypatch, judging(lambda *_: {statement.id: found for statement in statements()}))
    row = measure({}, config())[0]
    json.dumps(row, allow_nan=False)
    return row


def test_every_statement_has_a_row_in_order(found):
    assert list(found) == [statement.id for statement in statements()]
    for row in found.values():
        assert row.keys() >= ALWAYS
        assert row["verdict"] in VERDICTS
        assert ("reason" in row) == (row["verdict"] == "not measured")
        assert ("seeds_needed" in row) == (row["verdict"] == "undecided")
        assert ("outcome" in row) == ("ratio" in row)
        assert row.get("outcome", "equal") in OUTCOMES
        assert "{" not in row["criterion"]


def test_the_regime_stands_beside_the_rows_that_have_one(found):
    assert found["stationary_radius"]["regime"] == {}
    assert found["fixed_batch_floor"]["regime"] == {"rate_over_batch": pytest.approx(0.05 / 16)}
    regime = found["average_is_schedule_swa"]["regime"]
    assert regime["rate_over_batch"] == pytest.approx(0.05 / 16)
    # A window of 10 steps at branch points 20 and 30; the momentary loss does not fall.
    assert (regime["window_over_branch"], regime["window_over_branch_least"]) == pytest.approx((10 / 20, 10 / 30), 1e-5)
    assert regime["fall_over_gain"] == pytest.approx(0.0, abs=0.05)
    assert found["trips_aligned"]["regime"]["trip_over_branch"] == config().alignment.steps / 20


def test_a_ratio_to_the_gain_is_there_where_average_and_trip_are_compared():
    found = measured(side_trips=side_trips(gain=0.0, spread=0.01))
    assert {name for name, row in found.items() if "ratio" in row} == {
        *(f"average_is_schedule_{method.name}" for method in METHODS),
        "midpoint_tracks_half_rate",
    }
    assert found["average_is_schedule_swa"]["ratio"]["low"] is None  # unbounded
    worse = measured(side_trips=side_trips(gain=-0.1))["average_is_schedule_swa"]["regime"]
    assert worse["fall_over_gain"] is None


def test_one_seed_gives_numbers_without_intervals():
    tables = base()
    one = {name: table[table["seed"] == 0] for name, table in tables.items() if "seed" in table}
    found = {row["id"]: row for row in measure(tables | one, config(seeds=[0]))}
    json.dumps(found, allow_nan=False)
    row = found["single_step_gap"]
    assert (row["n"], row["verdict"]) == (1, "undecided")
    assert (row["low"], row["high"], row["seeds_needed"]) == (None, None, None)
    assert math.isfinite(row["value"])


def test_a_row_keeps_what_was_found_and_numbers_that_json_does_not_have_are_null(monkeypatch):
    endless = Interval(1.23456789, -math.inf, math.inf)
    others = {"part": "loss", "detail": "why", "quantity": "nats"}
    row = row_of(monkeypatch, Measured(endless, 1, "undecided", ratio=Interval(math.nan, 0.0, math.inf), **others))
    assert row.items() >= {"value": 1.23457, "low": None, "high": None, **others}.items()
    assert row["ratio"] == {"value": None, "low": 0.0, "high": None}
    row = row_of(monkeypatch, NotMeasured("no trip was run", Regime(rate_over_batch=1e-4)))
    assert row.items() >= {"verdict": "not measured", "reason": "no trip was run", "value": None, "n": 0}.items()
    assert row["regime"] == {"rate_over_batch": 1e-4}


def test_what_is_judged_is_what_is_stated_each_once(monkeypatch):
    set_judges(monkeypatch)  # whose own statements would be among them
    names = [statement.id for statement in statements()]
    first, rest, misspelt = (
        judging(lambda *_, found=found: dict.fromkeys(found, NotMeasured("")), name)
        for name, found in (("first", names[:1]), ("rest", names[1:]), ("misspelt", ["single_step_flor"]))
    )
    for judges, message in (
        ((first, rest, misspelt), "stated nowhere: single_step_flor"),
        ((rest,), f"judged by none: {names[0]}"),
        ((first, rest, first), f"first judges again: {names[0]}"),
    ):
        set_judges(monkeypatch, *judges)
        with pytest.raises(ValueError, match=message):
            measure({}, config())


def test_thresholds_are_those_of_the_settings():
    strict = measured(config(**{"claims.single_step_gap": 0.01}))["single_step_gap"]
    assert strict["verdict"] == "not reproduced"
    assert strict["criterion"].endswith("< 0.01")


def test_early_points_enter_no_verdict(found):
    """Rows of the early branch point may say anything."""
    tables = base()
    changed = {}
    for name in ("single_step", "curvature", "side_trips", "distances"):
        table = tables[name].copy()
        numbers = table.select_dtypes(float).columns.difference(["step_size"])
        table.loc[table["branch"] == 10, numbers] *= np.float64(7.0)
        changed[name] = table
    assert all((table["branch"] == 10).any() for table in changed.values())
    assert measured(**changed) == found


def test_the_rate_of_the_regime_is_that_at_the_branch_points():
    losses = pd.DataFrame({"seed": 0, "step": range(1, 41), "rate": np.linspace(0.04, 0.001, 40), "batch_loss": 1.0})
    falling = measured(config(**{"burn_in.schedule": "cosine"}), batch_losses=losses)
    at_points = losses.set_index("step")["rate"].loc[[20, 30]].mean() / 16
    assert falling["single_step_gap"]["regime"]["rate_over_batch"] == pytest.approx(at_points, rel=1e-5)
