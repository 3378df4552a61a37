"""Verdicts on averages and trips, on tables whose answer is known."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, WINDOWS, batch_losses, config, method_windows, side_trips

from sidetrip.experiments.methods import NAMES
from sidetrip.experiments.side_trips import verdict as judge_of
from sidetrip.verdicts import scores as scores_of
from sidetrip.verdicts.equivalence_map import map_points
from sidetrip.verdicts.records import NotMeasured

COSINE = {"burn_in.schedule": "cosine"}
EQUAL = "average_is_schedule_swa"


def tables_of(table):
    return {"side_trips": table, "batch_losses": batch_losses()}


def judged(table, **changes):
    return judge_of.judge(tables_of(table), config(**changes))


def scored(table, metric="loss"):
    return scores_of.of_score(scores_of.compared(table, "swa", 10), metric, "train")


def changed(table, metric="loss", by=0.0, **where):
    """A table with a score moved in the rows that have these values."""
    rows = np.logical_and.reduce([table[column] == value for column, value in where.items()])
    return table.assign(**{metric: table[metric] + by * rows})


def test_equal_scores_are_equivalent_and_help():
    found = judged(side_trips(gap=0.0))
    for name in NAMES:
        row = found[f"average_is_schedule_{name}"]
        assert (row.verdict, row.n, row.unit) == ("reproduced", len(SEEDS), "seeds")
        assert row.detail.startswith("4 of 4 parts reproduced; gain ")
        assert "SD of one iterate" in row.detail
        assert row.outcome == "equal"
    assert found["averaging_helps"].verdict == "reproduced"
    joins = found["average_joins_decay"]
    assert (joins.verdict, joins.quantity) == ("reproduced", "nats")
    assert joins.interval.value == pytest.approx(0.01, abs=0.002)
    assert isinstance(found["cosine_run"], NotMeasured)


@pytest.mark.parametrize(("gap", "outcome"), [(0.05, "differs"), (0.015, "differs within a quarter")])
def test_a_gap_has_its_outcome_either_way(gap, outcome):
    """The ratio is how far the average is behind its trip, in loss and accuracy alike."""
    for sign in (1, -1):
        row = judged(side_trips(gap=sign * gap))[EQUAL]
        assert (row.outcome, row.ratio.bounded) == (outcome, True)
        assert row.verdict == ("not reproduced" if outcome == "differs" else "reproduced")
        assert row.ratio.value == pytest.approx(sign * gap / 0.1, abs=0.05)
        assert not row.interval.has(0.0)


def test_an_average_that_gains_nothing_decides_nothing():
    found = judged(side_trips(joined=0.0, gain=0.0, spread=0.01))
    assert {found[name].verdict for name in ("average_joins_decay", "averaging_helps")} == {"undecided"}


@pytest.mark.parametrize("kernel", ["swa", "ema"])
def test_the_average_along_each_decay_is_to_gain(kernel):
    table = changed(side_trips(early_gap=0.3), "loss", 0.1, model="trip_average", kernel=kernel, split="validation")
    row = judged(table)["average_joins_decay"]
    assert (row.verdict, row.part) == ("not reproduced", f"{kernel.upper()} trip")
    assert row.interval.value == pytest.approx(-0.09, abs=0.002)


@pytest.mark.parametrize(("split", "metric"), list(product(("train", "validation"), ("loss", "accuracy"))))
def test_each_of_four_scores_can_refute_alone(split, metric):
    by = 0.05 if metric == "loss" else -0.05
    row = judged(changed(side_trips(), metric, by, model="trip", kernel="swa", split=split))[EQUAL]
    assert (row.verdict, row.part) == ("not reproduced", f"{scores_of.TITLES[split]} {metric}")
    assert row.quantity == ("nats" if metric == "loss" else "points")
    assert row.interval.value == pytest.approx(-0.05 if metric == "loss" else 5.0, rel=0.1)


def test_the_widest_window_of_late_points_is_judged():
    table = side_trips(early_gap=0.5)
    table.loc[(table["model"] == "trip") & (table["window_steps"] < max(WINDOWS)), "loss"] += 0.1
    assert judged(table)[EQUAL].verdict == "reproduced"


def test_a_method_of_our_own_decides_no_statement_of_the_paper(monkeypatch):
    added = side_trips().query("kernel == 'swa'").assign(kernel="late_swa")
    loses = changed(added, "loss", 9.0, model="average")
    monkeypatch.setattr(judge_of, "NAMES", (*NAMES, "late_swa"))
    found = judged(pd.concat([side_trips(), loses]))
    assert found["average_is_schedule_late_swa"].verdict == "not reproduced"
    assert found["averaging_helps"].verdict == "reproduced"


def test_one_method_that_does_not_help_decides_and_lends_its_regime():
    row = judged(changed(side_trips(), "loss", 0.3, kernel="two_point", model="average"))["averaging_helps"]
    assert (row.verdict, row.part, row.regime.fall_over_gain) == ("not reproduced", "Two-point", None)


def test_a_diverged_trip_is_equivalent_to_nothing():
    table = side_trips(diverged=True)
    found = judged(table)
    for row in (found[EQUAL], found["average_joins_decay"], judged(table, **COSINE)["cosine_run"]):
        assert (row.verdict, row.detail) == ("not reproduced", "a trip diverged")
        assert row.n == len(SEEDS)
    assert found[EQUAL].outcome == "differs"
    assert (found["average_is_schedule_ema"].verdict, found["averaging_helps"].verdict) == ("reproduced",) * 2
    assert np.isnan(scored(table).loc[(1, 20), "gap"])
    points = mapped(table).set_index(["kernel", "late", "window_steps"])
    assert points.loc[("swa", True, 10), ["outcome", "n"]].tolist() == ["differs", len(SEEDS)]
    assert points.loc[("swa", True, 5), "outcome"] == "equal"
    lost = table["model"].isin(["trip", "trip_average"])
    none = table.assign(loss=table["loss"].mask(lost), accuracy=table["accuracy"].mask(lost))
    found = judged(none)
    for row in (found[EQUAL], found["average_joins_decay"], judged(none, **COSINE)["cosine_run"]):
        assert row.reason == "every trip diverged"


def test_a_cosine_run_is_judged_by_absolute_margins():
    found = judged(side_trips(gap=0.001, gain=0.0), **COSINE)
    assert found["cosine_run"].verdict == "reproduced"
    assert "constant rate" in found["averaging_helps"].reason


@pytest.mark.parametrize(("metric", "by"), [("loss", 0.02), ("loss", -0.02), ("accuracy", 0.01)])
def test_margins_of_a_cosine_run(metric, by):
    """0.01 nats and 0.5 points; SWA alone."""
    table = side_trips(spread=1e-4)
    row = judged(changed(table, metric, by, model="trip", split="train", kernel="swa"), **COSINE)["cosine_run"]
    assert (row.verdict, row.part) == ("not reproduced", f"training {metric}")
    others = changed(table, metric, 0.5, model="trip", kernel="ema")
    assert judged(others, **COSINE)["cosine_run"].verdict == "reproduced"


def test_the_bend_of_decoupled_decay_stands_beside_the_verdict():
    """Rate × decay × steps."""
    settings = {"burn_in.optimizer.name": "adamw", "burn_in.optimizer.weight_decay": 0.1}
    assert f"= {0.1 * 0.05 * 0.1 * 10:.2g} of the way" in judged(side_trips(), **settings)[EQUAL].detail
    assert "decay" not in judged(side_trips())[EQUAL].detail


def test_scores_by_hand():
    scores = scored(side_trips(spread=0.0, gap=0.02, gain=0.1), metric="accuracy")
    assert scores["gain"].to_numpy() == pytest.approx(0.05)  # positive: better
    assert scores.loc[(0, 20), "gap"] == pytest.approx(-0.01)  # as it is: average - trip
    assert scores["sd_of_one_iterate"].to_numpy() == pytest.approx(0.0)
    noisy = side_trips(spread=0.01)
    looks = noisy.query("kernel == 'none' and window_steps == 10 and split == 'train' and seed == 3 and branch == 30")
    assert len(looks) == 3
    here = scored(noisy).loc[(3, 30)]
    expected = looks["loss"].mean(), looks["loss"].std(), 1.0 - looks["loss"].mean()
    assert tuple(here[["momentary", "sd_of_one_iterate", "fall"]]) == pytest.approx(expected)


def test_the_fall_over_the_gain_by_hand():
    table = changed(side_trips(spread=0.0, gain=0.1), "loss", 0.02, kernel="none", window_steps=0)
    assert judged(table)["average_is_schedule_ema"].regime.fall_over_gain == pytest.approx(0.2)


def test_the_table_by_point_has_every_window_and_marks_late_points_and_widest_windows():
    table = scores_of.by_point(tables_of(side_trips(gap=0.02, spread=0.0)), config(), NAMES)
    assert (table["late"] == table["branch"].isin(LATE)).all()
    assert table.groupby("kernel")["window_steps"].unique().map(list).to_dict() == method_windows()
    assert set(table.loc[table["widest"], "window_steps"]) == {10}
    late = table.query("late and metric == 'loss'")
    for column, value in (("average_minus_trip", 0.02), ("gain", 0.1), ("fall", 0.0)):
        assert late[column].to_numpy() == pytest.approx(value)
    assert not table.duplicated(["seed", "branch", "kernel", "window_steps", "split", "metric"]).any()


def mapped(table):
    tables = tables_of(table)
    return map_points(scores_of.by_point(tables, config(), NAMES), tables["batch_losses"], config())


def test_the_map_has_every_window_of_every_method():
    """Late branch points together, the early one by itself."""
    points = mapped(side_trips(early_gap=0.05))
    assert len(points) == 2 * sum(map(len, method_windows().values()))
    assert points["rate_over_batch"].to_numpy() == pytest.approx(0.05 / 16)
    assert set(points["n"]) == {len(SEEDS)}
    late = points["late"]
    assert points["branch"].to_numpy() == pytest.approx(np.where(late, np.mean(LATE), 10))
    assert points["branch_points"].to_list() == np.where(late, len(LATE), 1).tolist()
    assert points["window_over_branch"].to_numpy() == pytest.approx(points["window_steps"] / points["branch"])
    assert (points["outcome"] == np.where(late, "equal", "differs")).all()
    early = points[~late]
    assert early["ratio"].to_numpy() == pytest.approx(0.5, abs=0.1)
    assert ((early["ratio_low"] < early["ratio"]) & (early["ratio"] < early["ratio_high"])).all()


def test_late_branch_points_are_pooled_on_the_map():
    """Far apart in opposite directions, they are equal in the mean of every seed: what is judged in the claims, too."""
    table = side_trips(spread=0.0005)
    table = changed(table, "loss", 0.05, model="trip", branch=20)
    table = changed(table, "loss", -0.05, model="trip", branch=30)
    points = mapped(table)
    assert set(points.loc[points["late"], "outcome"]) == {"equal"}
    assert points.loc[points["late"], "gap"].abs().max() < 0.002


def test_what_is_shown_to_be_equal_has_all_of_its_tested_interval_within_the_limit():
    """Two one-sided tests and Fieller's interval of twice their level say the same, where the gain is clear of 0."""
    limit, found = config().claims.average_is_schedule, set()
    for gap in np.linspace(-0.06, 0.06, 7):
        for row in mapped(side_trips(gap=gap, gain=0.2, spread=0.02)).query("late").to_dict("records"):
            shown = row["outcome"] in ("equal", "differs within a quarter")
            assert shown == (-limit < row["tested_low"] and row["tested_high"] < limit)
            assert row["ratio_low"] < row["tested_low"] < row["ratio"] < row["tested_high"] < row["ratio_high"]
            found.add(shown)
    assert found == {True, False}


def test_the_map_says_unknown_where_the_gain_is_not_clear():
    points = mapped(side_trips(gain=0.0, spread=0.02))
    assert not {"equal", "differs within a quarter"} & set(points["outcome"])
    unbounded = points["ratio_low"].isna()
    assert unbounded.sum() > len(points) / 2
    assert (unbounded == points["ratio_high"].isna()).all()
