"""Fig. 1, 5, 10, 14: momentary line, averages and trips as the tables have them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from verdict_tables import config

from sidetrip.experiments.methods import METHODS, Method
from sidetrip.experiments.side_trips import figure as side_trips
from sidetrip.experiments.side_trips.section import facts
from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.second_order import factors
from sidetrip.verdicts.statistics import student_interval


def labelled(axes):
    """Lines by label; those at the late branch points in order."""
    lines = {}
    for line in axes.get_lines():
        lines.setdefault(line.get_label(), []).append(line)
    return lines


def test_the_momentary_line_is_mean_and_spread_of_looks_close_together():
    looks = pd.DataFrame({"seed": 0, "step": [10, 12, 12, 25], "loss": [1.0, 3.0, 3.0, 2.0]})
    found = side_trips.momentary_line(looks, "loss", every=10)
    assert list(found["step"]) == [11.0, 25.0]
    assert list(found["mean"]) == [2.0, 2.0]
    assert list(found["high"] - found["low"]) == pytest.approx([2 * np.sqrt(2), 0.0])


def test_averages_and_trips_stand_where_their_windows_end(tables, drawn):
    (axes,) = drawn("side_trips")["figure_1"].axes
    lines = labelled(axes)
    rows = tables["side_trips"].query("seed == 0 and branch == 20 and split == 'validation' and kernel == 'two_point'")
    for model, label in (("average", "average"), ("trip", "side trip")):
        expected = rows[rows["model"] == model].groupby("window_steps")["accuracy"].mean()
        first, second = lines[label]
        assert list(first.get_xdata()) == list(20 + expected.index)
        assert np.allclose(first.get_ydata(), 100 * expected)
        assert min(second.get_xdata()) > 30
    assert len(lines["side trip, early branch point"]) == 1


def test_late_in_the_run_means_over_seeds_stand_with_the_interval_of_their_difference(tables, drawn):
    axes = drawn("side_trips")["figure_5"].axes[1]
    rows = tables["side_trips"].query("branch == 30 and split == 'validation' and kernel == 'two_point'")
    seeds = 100 * rows.groupby(["window_steps", "seed", "model"])["accuracy"].mean().unstack()  # noqa: PD010
    means = seeds.groupby("window_steps").mean()
    lines = labelled(axes)
    assert "side trip, early branch point" not in lines
    for model, label in (("average", "average"), ("trip", "side trip")):
        assert np.allclose(lines[label][-1].get_ydata(), means[model])
    gap = (seeds["average"] - seeds["trip"]).loc[means.index[0]]
    reach = student_interval(gap.to_numpy(), config().claims.confidence).high - gap.mean()
    bars: Any = axes.collections[-1]
    low, high = bars.get_segments()[0][:, 1]
    assert [low, high] == pytest.approx([means["trip"].iloc[0] - reach, means["trip"].iloc[0] + reach])


def test_one_seed_has_no_interval():
    scores = pd.DataFrame({"window_steps": 10, "seed": 0, "model": ["average", "trip"], "loss": [1.0, 2.0]})
    assert not np.isfinite(side_trips.ends(scores, "loss", 0.95)["reach"]).any()


def test_the_run_is_shown_from_its_second_half_on_as_a_line_however_seldom_it_was_looked_at(tables):
    """From the early branch point on, if there is one."""
    settings = config(**{"branch.early": [], "side_trips.every": 40})
    (axes,) = side_trips.draw(tables, settings)["figure_1"].axes
    steps = labelled(axes)["momentary"][0].get_xdata()
    assert min(steps) >= settings.branch.points[0] // 2
    assert len(steps) >= 3
    told = facts(tables, settings)["stretch"]  # in the caption
    assert set(np.diff(steps // told)) == {1}
    assert told < 40


def test_nothing_is_drawn_outside_the_frame(drawn):
    for axes in drawn("side_trips")["figure_14"].axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for line in axes.get_lines():
            if len(line.get_xdata()) > 2:  # lines of two points mark branch points
                assert left <= min(line.get_xdata()) <= max(line.get_xdata()) <= right
                assert low <= min(line.get_ydata()) <= max(line.get_ydata()) <= high


def test_a_method_that_is_added_gets_a_panel(tables, monkeypatch):
    added = Method("late_swa", lambda settings: [Kernel.swa(10)])
    more = dict(tables)
    for name in ("side_trips", "running_averages"):
        swa = tables[name][tables[name]["kernel"] == "swa"]
        more[name] = pd.concat([tables[name], swa.assign(kernel="late_swa")])
    monkeypatch.setattr(side_trips, "METHODS", (*METHODS, added))
    figures = side_trips.draw(more, config())
    assert figures["figure_5"].axes[-1].get_title() == "Late swa"
    assert len(figures["figure_14"].axes) == 4 * (len(METHODS) + 1)
    assert "Late swa, 10 steps" in [line.get_label() for line in figures["rate_factors"].axes[0].get_lines()]


def test_factors_of_noise_are_those_with_the_momentum_of_the_run(drawn):
    """The axis is λκ/(1 − μ); of the second order model at λκ and μ, as the verdicts have it."""
    settings = config()
    momentum = settings.burn_in.optimizer.momentum
    assert momentum > 0
    lines = {line.get_label(): line for line in drawn("side_trips")["rate_factors"].axes[0].get_lines()}
    kernel = METHODS[0].widest(settings.side_trips)
    line = lines[f"SWA, {kernel.steps} steps"]
    expected = factors(Schedule.constant(kernel.steps), kernel, (1 - momentum) * line.get_xdata(), momentum).variance
    assert np.allclose(line.get_ydata(), expected)


def test_the_measured_curvature_is_marked(drawn):
    (axes,) = drawn("side_trips")["rate_factors"].axes
    mark = next(line for line in axes.get_lines() if str(line.get_label()).startswith("measured"))
    rate = config().burn_in.rate / (1 - config().burn_in.optimizer.momentum)
    assert mark.get_xdata()[0] == pytest.approx(rate)  # curvature is minus the slope in these tables
