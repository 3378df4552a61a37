"""Verdicts on averages and trips, on tables whose answer is known."""

import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, config, side_trips

from sidetrip.experiments import methods
from sidetrip.verdicts import side_trips as judge_of
from sidetrip.verdicts.statistics import NotMeasured


def judged(table, **changes):
    return judge_of.judge({"side_trips": table}, config(**changes))


def test_equal_scores_are_equivalent_and_help():
    found = judged(side_trips(gap=0.0))
    for name in ("swa", "two_point", "ema"):
        row = found[f"average_is_schedule_{name}"]
        assert (row.verdict, row.n, row.unit) == ("reproduced", len(SEEDS), "seeds")
    assert found["averaging_helps"].verdict == "reproduced"
    assert isinstance(found["cosine_run"], NotMeasured)


def test_a_gap_of_half_the_gain_is_refuted():
    row = judged(side_trips(gap=0.05))["average_is_schedule_swa"]
    assert row.verdict == "not reproduced"
    assert row.part in {"training loss", "validation loss", "training accuracy", "validation accuracy"}
    assert row.ratio.value == pytest.approx(0.5 if "loss" in row.part else -0.5, abs=0.05)


def test_early_points_enter_no_verdict():
    assert judged(side_trips(early_gap=0.5))["average_is_schedule_swa"].verdict == "reproduced"


def test_without_a_gain_nothing_is_decided():
    assert judged(side_trips(gain=0.0))["average_is_schedule_swa"].verdict == "undecided"


def test_an_average_that_hurts_does_not_help():
    assert judged(side_trips(gain=-0.1))["averaging_helps"].verdict == "not reproduced"


def test_a_diverged_trip_is_equivalent_to_nothing():
    found = judged(side_trips(diverged=True))
    assert found["average_is_schedule_swa"].verdict == "not reproduced"
    assert found["average_is_schedule_swa"].detail == "a trip diverged"
    assert found["average_is_schedule_ema"].verdict == "reproduced"


def test_a_cosine_run_is_judged_by_absolute_margins():
    cosine = {"burn_in.schedule": "cosine"}
    found = judged(side_trips(gap=0.001, gain=0.0), **cosine)
    assert found["cosine_run"].verdict == "reproduced"
    assert all(isinstance(found[f"average_is_schedule_{name}"], NotMeasured) for name in ("swa", "two_point", "ema"))
    assert judged(side_trips(gap=0.05), **cosine)["cosine_run"].verdict == "not reproduced"


def test_scores_by_hand():
    table = side_trips(spread=0.0, gap=0.02, gain=0.1)
    scores = judge_of.of_score(judge_of.compared(table, "swa", 10), "accuracy", "train")
    assert scores["gain"].to_numpy() == pytest.approx(0.05)  # positive: better
    assert scores.loc[(0, 20), "gap"] == pytest.approx(-0.01)  # as it is: average - trip
    assert scores["sd_of_one_iterate"].to_numpy() == pytest.approx(0.0)
    noisy = side_trips(spread=0.01)
    rows = noisy[(noisy["kernel"] == "none") & (noisy["window_steps"] == 10) & (noisy["split"] == "train")]
    looks = rows[(rows["seed"] == 3) & (rows["branch"] == 30)]["loss"]
    here = judge_of.of_score(judge_of.compared(noisy, "swa", 10), "loss", "train").loc[(3, 30)]
    assert here["momentary"] == pytest.approx(looks.mean())
    assert here["sd_of_one_iterate"] == pytest.approx(looks.std())
    assert here["fall"] == pytest.approx(1.0 - looks.mean())


def test_the_table_by_point_has_every_window_and_marks_late_points():
    table = judge_of.by_point({"side_trips": side_trips()}, config())
    assert set(table.loc[table["late"], "branch"]) == set(LATE)
    assert set(table.loc[~table["late"], "branch"]) == {10}
    assert table.groupby("kernel")["window_steps"].unique().map(list).to_dict() == {
        "swa": [1, 5, 10],
        "two_point": [1, 5, 10],
        "ema": [10],
    }


def test_a_method_that_is_added_is_judged(monkeypatch):
    extra = methods.Method("swa_again", "SWA again", "SWA again", "a decay", "#000000", lambda settings: [])
    monkeypatch.setattr(judge_of, "METHODS", (*methods.METHODS, extra))
    table = side_trips()
    copied = table[table["kernel"] == "swa"].assign(kernel="swa_again")
    found = judged(pd.concat([table, copied]))
    assert found["average_is_schedule_swa_again"].verdict == "reproduced"
