"""The forecast: the run, merged snapshots, the band where there is one, and the real cool-downs."""

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.forecast import figure as figures


@pytest.fixture
def axes():
    return figures.draw(all_tables(), config())["forecast"].axes[0]


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def test_lines_are_those_of_the_table(axes):
    table = all_tables()["forecast_line"].query("metric == 'loss' and decay == 'linear'")
    run, merged = line(axes, "the run as it is (momentary)"), line(axes, "snapshots merged for a linear decay")
    assert list(run.get_xdata()) == list(merged.get_xdata()) == list(table["step"])
    assert list(merged.get_ydata()) == list(table["merged"])
    known = table.dropna(subset=["forecast"])
    assert list(line(axes, "forecast, linear decay").get_xdata()) == list(known["step"])
    assert list(line(axes, "forecast, linear decay").get_ydata()) == list(known["forecast"])


def test_cool_downs_of_the_seed_stand_where_they_end(axes):
    downs = all_tables()["cool_downs"].query("model == 'cool-down' and decay == 'cosine' and seed == 0")
    dots = line(axes, "real cool-down, cosine")
    assert list(dots.get_xdata()) == [20, 30, 40]
    assert list(dots.get_ydata()) == list(downs["loss"])
