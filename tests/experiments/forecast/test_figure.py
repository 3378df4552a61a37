"""The figures of forecasts: the run, what was forecast, what came true, and by how much each kind was off."""

import numpy as np
import pytest

from sidetrip.experiments.forecast import figure as figures


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def test_forecasts_and_cool_downs_stand_where_the_decay_ends(tables, drawn):
    axes = drawn("forecast")["forecast"].axes[0]
    given = tables["forecasts"].query("given and metric == 'loss' and decay == 'linear' and seed == 0")
    real = line(axes, "real cool-down")
    assert list(real.get_xdata()) == [25, 30, 35, 40]
    assert list(real.get_ydata()) == list(given["cool_down"])
    (points, _, (bars,)) = axes.containers[0]
    assert list(points.get_ydata()) == list(given["forecast"])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(given[["low", "high"]].to_numpy())


def test_every_kind_is_measured_on_the_same_decays(tables):
    errors = figures.errors_by_seed(tables["forecasts"])
    assert {"momentary", "merged", "none", "learned"} <= set(errors)
    late = tables["forecasts"].query("metric == 'loss' and branch == 35 and seed == 2")
    plain = late.query("correction == 'none'")
    expected = ((plain["forecast"] - plain["cool_down"]) ** 2).mean() ** 0.5
    assert errors.loc[2, "none"] == pytest.approx(expected)


def test_estimates_in_hindsight_are_those_of_the_table(tables, drawn):
    axes = drawn("forecast")["hindsight"].axes[0]
    table = tables["hindsight_line"].query("metric == 'loss' and decay == 'linear'")
    known = table.dropna(subset=["estimate"])
    begins, window = tables["cool_downs"]["branch"].min(), tables["cool_downs"]["window_steps"].max()
    drawn = [step for step in table["step"] if step >= begins - window]
    assert 0 < len(drawn) < len(table)  # what lies long before the first cool-down is not shown
    assert list(line(axes, "the run as it is (momentary)").get_xdata()) == drawn
    assert list(line(axes, "estimate, linear decay").get_ydata()) == list(known["estimate"])
    downs = tables["cool_downs"].query("model == 'cool-down' and decay == 'cosine' and seed == 0")
    assert list(line(axes, "real cool-down, cosine").get_ydata()) == list(downs["loss"])
