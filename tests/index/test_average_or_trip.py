"""Averages against trips late in a run: what is chosen, drawn and said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from verdict_tables import config

from sidetrip.index import average_or_trip
from sidetrip.index.runs import Run
from sidetrip.report import style
from sidetrip.verdicts.equivalence_map import COLUMNS
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN

ROW = {"schedule": "constant", "n": 5, "late": True, "window_steps": 100, "gap": 0.002, "gain": 0.05, "kernel": "swa"}
FIRST = Run("First", "SGD, λ = 0.1", ("first",), config())
SECOND = Run("Second", "AdamW, λ = 0.01", ("second", "more"), config(seeds=[3]))
RUNS = [FIRST, SECOND]
TO_JOIN = ["window_steps", "predicted"]


def points(*rows) -> pd.DataFrame:
    """Points of the map: alike but for what is given."""
    alike = {"variant": "first", "ratio": 0.04, "ratio_low": -0.1, "ratio_high": 0.2, "outcome": EQUAL}
    alike |= {"tested_low": -0.05, "tested_high": 0.15}
    return pd.DataFrame([{**ROW, **alike, **row} for row in rows], columns=COLUMNS)


def late(*rows, **second_order) -> pd.DataFrame:
    return average_or_trip.late_in_the_run(points(*rows), second_order, {"first": {"swa": 0.002}})


def marks(axes):
    """Every measured mark."""
    return [line for line in axes.get_lines() if line.get_marker() in ("o", "X")]


def test_the_widest_window_late_in_the_run_is_taken():
    found = late({}, {"window_steps": 20, "ratio": 0.5}, {"late": False, "window_steps": 900, "ratio": 9})
    assert list(found["ratio"]) == [0.04]


def test_where_the_gain_is_not_clear_of_0_the_ratio_means_nothing():
    unbounded = {"variant": "second", "gain": -0.01, "ratio_low": np.nan, "ratio_high": np.nan}
    assert list(late({}, unbounded)["variant"]) == list(late({})["variant"])
    narrow = {"variant": "second", "window_steps": 20}  # never stands in for the widest
    assert list(late({}, unbounded, narrow)["variant"]) == list(late({})["variant"])


def test_predictions_are_means_over_seeds_of_the_same_kernel_and_window():
    table = pd.DataFrame(
        [(0, "swa", 100, -0.1), (1, "swa", 100, -0.3), (0, "swa", 20, 7.0), (0, "ema", 100, 8.0)],
        columns=["seed", "kernel", "window_steps", "predicted"],
    )
    found = late({}, {"variant": "second"}, first=table)
    assert found["predicted"].to_numpy() == pytest.approx([-0.2, np.nan], nan_ok=True)


def test_the_lag_is_a_share_of_the_gain_where_the_run_has_one():
    found = late({}, {"variant": "second"}, {"kernel": "ema"})
    assert found["lag"].to_numpy() == pytest.approx([0.04, np.nan, np.nan], nan_ok=True)


def test_the_root_mean_squares_of_what_predictions_miss_are_told_by_data():
    table = pd.DataFrame([(0, "swa", 100, -0.1), (0, "ema", 100, 0.3)], columns=["seed", "kernel", *TO_JOIN])
    ema = {"kernel": "ema", "ratio": 0.3}
    found = average_or_trip.late_in_the_run(
        points({}, ema, {"variant": "second"}), {"first": table}, {"first": {"swa": 0.002, "ema": -0.004}}
    )
    (text,) = average_or_trip.predictions(found, RUNS)
    # Misses: 0.14 and 0; with the lag 0.10 and 0.08; of 0: 0.04 and 0.3.
    assert "on First (1 run) 9.9 %, with the lag 9.1 %, predicting 0 21 %." in text
    assert average_or_trip.predictions(late({}), RUNS) == []


def test_rows_stand_from_the_top_in_the_order_of_the_runs_left_where_the_average_is_better():
    """Predictions below what was measured."""
    table = pd.DataFrame([(0, "swa", 100, -0.1)], columns=["seed", "kernel", *TO_JOIN])
    axes = average_or_trip.draw(late({"variant": "second", "ratio": -0.3}, {}, first=table), RUNS).axes[0]
    found = [tuple(np.ravel(each.get_offsets())) for each in axes.collections if isinstance(each, PathCollection)]
    assert found[1] == (-0.1, average_or_trip.BESIDE)
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks(axes)] == [(-0.3, 1), (0.04, 0)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["\n".join(run.lines) for run in RUNS]
    bottom, top = axes.get_ylim()
    assert bottom > top
    texts = {
        text.get_text().split()[1]: text.xy[0]  # type: ignore[attr-defined]
        for text in axes.texts
        if "better" in text.get_text()
    }
    assert texts["average"] < axes.transAxes.inverted().transform(axes.transData.transform((0, 0)))[0]


def test_only_what_is_shown_to_hold_has_its_colour_and_what_is_not_known_yet_clear_of_0_is_half_filled():
    lows = {EQUAL: -0.1, WITHIN: 0.01, NOT_KNOWN: 0.01, DIFFERS: 0.01}
    rows = [{"variant": outcome, "outcome": outcome, "ratio_low": low} for outcome, low in lows.items()]
    looks, labels = drawn(*rows)
    held = average_or_trip.HOLDS
    assert looks == [(held, "full"), (held, "full"), (style.MOMENTARY, "left"), ("black", "full")]
    assert labels[2:] == [average_or_trip.SHOWN[each] for each in (EQUAL, DIFFERS, average_or_trip.UNSURE)]
    looks, labels = drawn({"variant": NOT_KNOWN, "outcome": NOT_KNOWN})
    assert looks == [("white", "full")]
    assert labels[2:] == [average_or_trip.SHOWN[NOT_KNOWN]]


def drawn(*rows) -> tuple[list[tuple[str, str]], list[str]]:
    """Face and filling of every mark of runs that are called by their outcomes; what the legend says."""
    figure = average_or_trip.draw(late(*rows), [replace(FIRST, variants=(row["outcome"],)) for row in rows])
    looks = [(mark.get_markerfacecolor(), mark.get_fillstyle()) for mark in marks(figure.axes[0])]
    return looks, [label.get_text() for label in figure.legends[0].get_texts()]


def test_sentences_count_outcomes_and_intervals_clear_of_0_at_a_constant_rate():
    better = {"ratio": -0.14, "ratio_low": -0.2, "ratio_high": -0.1, "outcome": WITHIN, "variant": "second"}
    (text,) = average_or_trip.findings(late({}, better, {"variant": "third", "schedule": "cosine", "ratio": -9}))
    assert "average − trip is −14 % to +4.0 % of the gain; by intervals clear of 0, the average is better in 1." in text
    assert text.endswith("by less than a quarter of the gain is shown in 2 of 2 runs.")
    (text,) = average_or_trip.findings(late({"outcome": NOT_KNOWN}, {**better, "outcome": DIFFERS}))
    assert "shown in 0 of 2 runs, refuted in 1, not known in 1." in text


def test_every_run_has_a_row_with_what_is_predicted_of_it():
    ema = {"variant": "second", "kernel": "ema", "ratio": -0.2}
    table = pd.DataFrame([(0, "swa", 100, -0.1)], columns=["seed", "kernel", "window_steps", "predicted"])
    clear = {"variant": "second", "ratio": 0.1, "ratio_low": 0.01, "outcome": NOT_KNOWN}
    found = average_or_trip.run_table(late({}, clear, ema, first=table), RUNS)
    assert found == [
        "| run | SWA | EMA |",
        "| --- | --- | --- |",
        "| First, SGD, λ = 0.1, 5 seeds ([first](first/README.md)) "
        "| +4.0 % (−10 % to +20 %, predicted −10 %) of 0.050: equal | – |",
        "| Second, AdamW, λ = 0.01, 1 seed ([second](second/README.md) · [more](more/README.md)) "
        "| +10 % (+1.0 % to +20 %) of 0.050: differs, not known whether within a quarter "
        "| −20 % (−10 % to +20 %) of 0.050: equal |",
    ]


def test_runs_on_the_same_data_are_told_to_be_relatives():
    alike = [FIRST, replace(SECOND, subject="First"), replace(FIRST, variants=("third",))]
    found = late({}, {"variant": "second"}, {"variant": "third", "schedule": "cosine"})
    assert average_or_trip.relatives(found, alike) == ["These runs are no independent tests: 2 are First."]
    assert average_or_trip.relatives(found, RUNS) == []


@pytest.mark.parametrize(("share", "text"), [(0.0, "0"), (-0.0038, "−0.4 %"), (0.25, "+25 %"), (-0.0001, "0")])
def test_shares_are_told_with_sign_and_two_digits(share, text):
    assert average_or_trip.percent(share) == text
