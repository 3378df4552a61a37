"""Fig. 6 and 8: distances and losses as the tables have them."""

import numpy as np
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.divergence import figure as divergence


def drawn(figure, axes):
    """Lines with a label, by label."""
    return {line.get_label(): line for line in figure.axes[axes].get_lines() if not line.get_label().startswith("_")}


def test_figure_6_shows_the_distances():
    tables = all_tables()
    line = drawn(divergence.draw(tables, config())["figure_6"], 0)["two λ trips on different batches"]
    expected = tables["trip_distances"].groupby("trip_step")["trip_to_independent"].mean()
    assert list(line.get_xdata()) == list(expected.index)
    assert np.allclose(line.get_ydata(), expected)


def test_figure_6_shows_the_change_of_the_training_loss_at_late_branch_points():
    tables = all_tables()
    figure = divergence.draw(tables, config())["figure_6"]
    assert figure.axes[1].get_title() == "training loss"
    line = drawn(figure, 1)["λ/2 trip"]
    rows = tables["side_trips"].query("kernel == 'two_point' and model == 'trip' and split == 'train' and look == 0")
    expected = rows[rows["branch"] > 10].groupby("window_steps")["loss"].mean() - 1.0
    assert list(line.get_xdata()) == [0, *expected.index]
    assert np.allclose(line.get_ydata(), [0.0, *expected])


def test_figure_8_marks_where_the_trip_leaves_and_ends():
    tables = all_tables()
    figure = divergence.draw(tables, config())["figure_8"]
    lines = drawn(figure, 0)
    curve = lines["left the run at step 20 (dot)"]
    expected = tables["to_independent_end"].query("branch == 20").groupby("step")["distance"].mean()
    assert np.allclose(curve.get_ydata(), expected)
    assert lines["end of the run and of the trips"].get_xdata()[0] == 40
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [
        (20, expected.loc[20]),
        (30, tables["to_independent_end"].query("branch == 30 and step == 30")["distance"].mean()),
    ]
