"""Fig. 6 and 8: distances and losses as the tables have them."""

import numpy as np
from verdict_tables import SEEDS, config, divergence

from sidetrip.experiments.divergence.figure import draw
from sidetrip.report.style import labelled


def test_figure_6_shows_distances_training_losses_and_their_difference_with_its_limits():
    tables = divergence(gap=0.02)
    left, middle, right = draw(tables, config())["figure_6"].axes
    line = labelled(left)["two λ trips on different batches"]
    expected = tables["trip_distances"].groupby("trip_step")["trip_to_independent"].mean()
    assert list(line.get_xdata()) == [0, *expected.index]
    assert np.allclose(line.get_ydata(), [0.0, *expected])
    losses = tables["trip_losses"].pivot_table(index="trip_step", columns="model", values="loss")
    for label, model in (("λ trip", "trip"), ("λ/2 trip", "half_rate")):
        line = labelled(middle)[label]
        assert list(line.get_xdata()) == list(range(11))
        assert np.allclose(line.get_ydata(), losses[model] - 1.0)
    gap = labelled(right)
    assert np.allclose(gap["midpoint − λ/2 trip"].get_ydata(), losses["midpoint"] - losses["half_rate"])
    assert np.allclose(np.abs(gap["limits: ¼ of the mean gain"].get_ydata()), 0.1 / 4)


def test_figure_8_begins_at_the_early_point_and_shades_the_last_third():
    tables = divergence()
    (axes,) = draw(tables, config())["figure_8"].axes
    (line,) = [line for line in axes.get_lines() if "mean" in line.get_label()]
    expected = tables["to_independent_end"].groupby("step")["distance"].mean()
    assert np.allclose(line.get_ydata(), expected)
    assert [patch.get_xy()[0] for patch in axes.patches] == [30]  # type: ignore[attr-defined]
    assert axes.get_xlim() == (10, 40)
    assert len(axes.get_lines()) == 1 + len(SEEDS)
    assert "figure_8" not in draw({**tables, "to_independent_end": expected.reset_index().iloc[:0]}, config())
