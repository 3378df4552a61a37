"""Verdicts on averages and trips, on tables whose answer is known."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, WINDOWS, batch_losses, config, method_windows, side_trips

from sidetrip.experiments.methods import NAMES
from sidetrip.experiments.side_trips import verdict as judge_of
from sidetrip.verdicts import scores as scores_of
from sidetrip.verdicts.equivalence_map import map_points, variant_points
from sidetrip.verdicts.records import NotMeasured

COSINE = {"burn_in.schedule": "cosine"}
SCORE_NAMES = {"training loss", "validation loss", "training accuracy", "validation accuracy"}


def tables_of(table):
    return {"side_trips": table, "batch_losses": batch_losses()}


def judged(table, **changes):
    return judge_of.judge(tables_of(table), config(**changes))


def test_equal_scores_are_equivalent_and_help():
    found = judged(side_trips(gap=0.0))
    for name in NAMES:
        row = found[f"average_is_schedule_{name}"]
        assert (row.verdict, row.n, row.unit) == ("reproduced", len(SEEDS), "seeds")
        assert row.detail.startswith("4 of 4 parts reproduced; gain ")
        assert "SD of one iterate" in row.detail
    assert found["averaging_helps"].verdict == "reproduced"
    assert isinstance(found["cosine_run"], NotMeasured)


@pytest.mark.parametrize("gap", [0.05, -0.05])
def test_a_gap_of_half_the_gain_is_refuted_either_way(gap):
    """The ratio is how far the average is behind its trip, in loss and accuracy alike."""
    row = judged(side_trips(gap=gap))["average_is_schedule_swa"]
    assert row.verdict == "not reproduced"
    assert row.part in SCORE_NAMES
    assert row.ratio.value == pytest.approx(gap / 0.1, abs=0.05)
    assert row.ratio.bounded


@pytest.mark.parametrize(("split", "metric"), list(itertools.product(("train", "validation"), ("loss", "accuracy"))))
def test_each_of_four_scores_can_refute_alone(split, metric):
    table = side_trips()
    off = (table["model"] == "trip") & (table["kernel"] == "swa") & (table["split"] == split)
    table.loc[off, metric] += 0.05 if metric == "loss" else -0.05
    row = judged(table)["average_is_schedule_swa"]
    assert (row.verdict, row.part) == ("not reproduced", f"{scores_of.TITLES[split]} {metric}")
    assert row.quantity == ("nats" if metric == "loss" else "points")
    assert row.interval.value == pytest.approx(-0.05 if metric == "loss" else 5.0, rel=0.1)


def test_the_widest_window_is_judged():
    table = side_trips()
    table.loc[(table["model"] == "trip") & (table["window_steps"] < max(WINDOWS)), "loss"] += 0.1
    assert judged(table)["average_is_schedule_swa"].verdict == "reproduced"


def test_early_points_enter_no_verdict():
    assert judged(side_trips(early_gap=0.5))["average_is_schedule_swa"].verdict == "reproduced"


def test_without_a_gain_nothing_is_shown_equal():
    row = judged(side_trips(gain=0.0))["average_is_schedule_swa"]
    assert (row.verdict, row.ratio.bounded) == ("undecided", False)


def test_a_wrong_average_is_held_against_the_gain_of_the_true_one():
    """A negative control: a kernel of the same window whose average lies elsewhere."""
    table = side_trips()
    wrong = (table["kernel"] == "ema_shuffled") & (table["split"] != "batches")
    table.loc[wrong, "loss"] += 0.08
    table.loc[wrong, "accuracy"] -= 0.04
    found = judge_of.average_is_schedule(table, "ema", config(), average="ema_shuffled")
    assert found.verdict == "not reproduced"
    assert found.ratio.value == pytest.approx(0.8, abs=0.05)
    assert judge_of.average_is_schedule(table, "ema", config()).verdict == "reproduced"


@pytest.mark.parametrize(("gain", "verdict"), [(-0.1, "not reproduced"), (0.0, "undecided"), (0.1, "reproduced")])
def test_averaging_helps_if_it_does(gain, verdict):
    assert judged(side_trips(gain=gain))["averaging_helps"].verdict == verdict


def test_one_method_that_does_not_help_decides_and_lends_its_regime():
    table = side_trips()
    table.loc[(table["kernel"] == "two_point") & (table["model"] == "average"), "loss"] = 1.2
    row = judged(table)["averaging_helps"]
    assert (row.verdict, row.part, row.regime.fall_over_gain) == ("not reproduced", "Two-point", None)


def test_a_diverged_trip_is_equivalent_to_nothing():
    found = judged(side_trips(diverged=True))
    swa = found["average_is_schedule_swa"]
    assert (swa.verdict, swa.detail, swa.n) == ("not reproduced", "a trip diverged", len(SEEDS))
    assert found["average_is_schedule_ema"].verdict == "reproduced"
    assert found["averaging_helps"].verdict == "reproduced"
    assert judged(side_trips(diverged=True), **COSINE)["cosine_run"].verdict == "not reproduced"


def test_a_trip_that_diverges_after_its_first_look_has_no_score():
    table = side_trips()
    here = (table["seed"] == 1) & (table["branch"] == 20) & (table["kernel"] == "swa") & (table["model"] == "trip")
    table.loc[here & (table["window_steps"] == 10) & (table["look"] == 0), ["loss", "accuracy"]] = np.nan
    scores = scores_of.of_score(scores_of.compared(table, "swa", 10), "loss", "train")
    assert scores["trip"].isna().sum() == 1
    assert np.isnan(scores.loc[(1, 20), "gap"])


def test_if_all_diverged_that_is_the_reason():
    table = side_trips()
    table.loc[table["model"] == "trip", ["loss", "accuracy"]] = np.nan
    assert judged(table)["average_is_schedule_swa"].reason == "every trip diverged"
    assert judged(table, **COSINE)["cosine_run"].reason == "every trip diverged"


def test_a_cosine_run_is_judged_by_absolute_margins():
    found = judged(side_trips(gap=0.001, gain=0.0), **COSINE)
    assert found["cosine_run"].verdict == "reproduced"
    assert "constant rate" in found["averaging_helps"].reason
    assert judged(side_trips(gap=0.05), **COSINE)["cosine_run"].verdict == "not reproduced"


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"loss": 0.02}, "training loss"), ({"loss": -0.02}, "training loss"), ({"accuracy": 0.01}, "training accuracy")],
)
def test_margins_of_a_cosine_run(changes, part):
    """0.01 nats and 0.5 points; SWA alone."""
    table = side_trips(spread=1e-4)
    for metric, change in changes.items():
        table.loc[(table["model"] == "trip") & (table["split"] == "train") & (table["kernel"] == "swa"), metric] += (
            change
        )
    row = judged(table, **COSINE)["cosine_run"]
    assert (row.verdict, row.part) == ("not reproduced", part)
    others = side_trips(spread=1e-4)
    others.loc[(others["model"] == "trip") & (others["kernel"] != "swa"), "loss"] += 0.5
    assert judged(others, **COSINE)["cosine_run"].verdict == "reproduced"


def test_scores_by_hand():
    table = side_trips(spread=0.0, gap=0.02, gain=0.1)
    scores = scores_of.of_score(scores_of.compared(table, "swa", 10), "accuracy", "train")
    assert scores["gain"].to_numpy() == pytest.approx(0.05)  # positive: better
    assert scores.loc[(0, 20), "gap"] == pytest.approx(-0.01)  # as it is: average - trip
    assert scores["sd_of_one_iterate"].to_numpy() == pytest.approx(0.0)
    noisy = side_trips(spread=0.01)
    rows = noisy[(noisy["kernel"] == "none") & (noisy["window_steps"] == 10) & (noisy["split"] == "train")]
    looks = rows[(rows["seed"] == 3) & (rows["branch"] == 30)]["loss"]
    assert len(looks) == 3
    here = scores_of.of_score(scores_of.compared(noisy, "swa", 10), "loss", "train").loc[(3, 30)]
    assert here["momentary"] == pytest.approx(looks.mean())
    assert here["sd_of_one_iterate"] == pytest.approx(looks.std())
    assert here["fall"] == pytest.approx(1.0 - looks.mean())


def test_what_average_and_trip_share_at_a_look_is_no_noise_of_their_difference():
    """They take the same batches: what one look has by chance, both have."""
    table = side_trips(spread=0.0, gap=0.02, gain=0.1)
    table["loss"] += 0.5 * table["look"] * (table["kernel"] != "none")
    scores = scores_of.of_score(scores_of.compared(table, "swa", 10), "loss", "train")
    assert scores["gap"].to_numpy() == pytest.approx(0.02 * np.isin(scores.index.get_level_values("branch"), LATE))
    assert scores["average"].to_numpy() == pytest.approx(0.9 + 0.5)


def test_an_average_that_is_looked_at_once_is_held_against_that_look():
    """As negative controls are."""
    table = side_trips(spread=0.0, gain=0.1)
    table.loc[(table["model"] == "trip") & (table["look"] > 0), "loss"] += 1.0
    scores = scores_of.of_score(scores_of.compared(table, "ema", 10, "ema_reversed"), "loss", "train")
    assert scores["gap"].to_numpy() == pytest.approx(0.0)


def test_the_regime_by_hand():
    table = side_trips(spread=0.0, gain=0.1)
    table.loc[(table["kernel"] == "none") & (table["window_steps"] == 0), "loss"] = 1.02
    regime = judged(table)["average_is_schedule_ema"].regime
    assert regime.fall_over_gain == pytest.approx(0.2)
    assert (regime.window_over_branch, regime.window_over_branch_least) == (10 / 20, 10 / 30)
    assert regime.rate_over_batch == pytest.approx(0.05 / 16)


def test_the_table_by_point_has_every_window_and_marks_late_points_and_widest_windows():
    table = scores_of.by_point(tables_of(side_trips(gap=0.02, spread=0.0)), config(), NAMES)
    assert set(table.loc[table["late"], "branch"]) == set(LATE)
    assert set(table.loc[~table["late"], "branch"]) == {10}
    windows = table.groupby("kernel")["window_steps"].unique().map(list).to_dict()
    assert windows == method_windows()
    assert set(table.loc[table["widest"], "window_steps"]) == {10}
    late_loss = table.query("late and metric == 'loss'")
    assert late_loss["average_minus_trip"].to_numpy() == pytest.approx(0.02)
    assert late_loss["gain"].to_numpy() == pytest.approx(0.1)
    assert late_loss["fall"].to_numpy() == pytest.approx(0.0)
    assert not table.duplicated(["seed", "branch", "kernel", "window_steps", "split", "metric"]).any()


def test_a_method_that_is_added_is_judged(monkeypatch):
    monkeypatch.setattr(judge_of, "NAMES", (*NAMES, "swa_again"))
    table = side_trips()
    copied = table[table["kernel"] == "swa"].assign(kernel="swa_again")
    assert judged(pd.concat([table, copied]))["average_is_schedule_swa_again"].verdict == "reproduced"


def mapped(table, **changes):
    settings = config(**changes)
    return map_points([variant_points(tables_of(table), settings, NAMES)], settings.claims)


def test_the_map_has_every_window_and_branch_point_of_every_method():
    points = mapped(side_trips(early_gap=0.05))
    assert len(points) == 3 * sum(map(len, method_windows().values()))
    assert set(points["n"]) == {len(SEEDS)}
    assert points["window_over_branch"].to_numpy() == pytest.approx(points["window_steps"] / points["branch"])
    assert points["rate_over_batch"].to_numpy() == pytest.approx(0.05 / 16)
    assert set(points.loc[points["late"], "verdict"]) == {"equivalent"}
    assert set(points.loc[~points["late"], "verdict"]) == {"not equivalent"}
    early = points[~points["late"]]
    assert early["ratio"].to_numpy() == pytest.approx(0.5, abs=0.1)
    assert (early["ratio_low"] < early["ratio"]).all()
    assert (early["ratio_high"] > early["ratio"]).all()


def test_the_map_says_unknown_where_the_gain_is_not_clear():
    points = mapped(side_trips(gain=0.0, spread=0.02))
    assert "equivalent" not in set(points["verdict"])
    unbounded = points["ratio_low"].isna()
    assert unbounded.sum() > len(points) / 2
    assert (unbounded == points["ratio_high"].isna()).all()


def test_a_diverged_trip_is_not_equivalent_on_the_map():
    points = mapped(side_trips(diverged=True)).set_index(["kernel", "branch", "window_steps"])
    lost = points.loc[("swa", 20, 10)]
    assert (lost["verdict"], lost["n"]) == ("not equivalent", len(SEEDS) - 1)
    assert points.loc[("swa", 30, 10), "verdict"] == "equivalent"


def test_several_variants_share_a_map_and_each_keeps_its_rate():
    settings = config()
    one = variant_points(tables_of(side_trips()), settings, NAMES)
    other = replace(one, variant="cooler", rate_over_batch=one.rate_over_batch / 10)
    points = map_points([one, other], settings.claims)
    rates = points.groupby("variant")["rate_over_batch"].unique().map(lambda rates: float(rates[0]))
    assert rates["cooler"] == pytest.approx(rates[settings.variant] / 10)
    assert len(points) == 2 * len(map_points([one], settings.claims))


def test_a_map_of_nothing_has_its_columns():
    assert "window_over_branch" in map_points([], config().claims).columns
