"""Fig. 2, 12, 13: what the drawn lines show of tables known by hand."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import config
from verdict_tables import single_step as single_step_tables

from sidetrip.experiments.single_step import figure as single_step
from sidetrip.experiments.single_step.plan import VARIED
from sidetrip.experiments.single_step.verdict import best_steps, paper_setting


def test_curves_that_were_measured_at_different_step_sizes_are_joined_by_straight_lines():
    """One held-out batch measured at 0, 1, 2 and another at 0, 2 alone."""
    rows = [(0, 0.0, 1.0), (0, 1.0, 3.0), (0, 2.0, 5.0), (1, 0.0, 2.0), (1, 2.0, 6.0)]
    table = pd.DataFrame(rows, columns=["index", "step_size", "loss"]).assign(seed=0, own_batch=0, batch="held_out")
    found = single_step.curves(table, "held_out")
    assert list(found.index) == [0.0, 1.0, 2.0]
    assert list(found["mean"]) == [1.5, 3.5, 5.5]
    assert (found.loc[1.0, "min"], found.loc[1.0, "max"]) == (3.0, 4.0)
    assert found.loc[1.0, "std"] == pytest.approx(np.std([3.0, 4.0], ddof=1))
    relative = single_step.curves(table, "held_out", relative=True)
    assert list(relative["mean"]) == [0.0, 2.0, 4.0]
    assert list(relative["max"] - relative["min"]) == [0.0, 0.0, 0.0]


def test_figure_2_shows_the_mean_over_seeds_and_own_batches(tables, drawn):
    wide, _ = drawn("single_step")["figure_2"].axes
    own, _, parabola = wide.get_lines()
    rows = paper_setting(tables["single_step"]).query("branch == 30 and batch_size == 16 and range == 'wide'")
    expected = rows[rows["batch"] == "own"].groupby("step_size")["loss"].mean()
    line = pd.Series(own.get_ydata(), own.get_xdata())
    assert np.allclose(line.loc[expected.index], expected)
    assert len(parabola.get_xdata()) == 200
    assert np.allclose(parabola.get_ydata(), np.interp(parabola.get_xdata(), line.index, line), atol=0.02)


@pytest.mark.parametrize("best", [0.5, -0.5])
def test_relative_curves_stand_at_multiples_of_the_parabola_s_best_step_size(best):
    """That of each own batch by itself; one at a negative step size, too."""
    rows, expansions = [], []
    for own_batch, optimum in enumerate((best, 2 * best)):
        expansions.append((0, own_batch, -optimum, 1.0))
        rows += [(0, own_batch, "own", 0, x * optimum, 4 - x) for x in VARIED]
    found = single_step.relative_curves(
        pd.DataFrame(rows, columns=["seed", "own_batch", "batch", "index", "step_size", "loss"]),
        pd.DataFrame(expansions, columns=["seed", "own_batch", "slope", "curvature"]),
    )
    assert found["times"].tolist() == list(VARIED)
    assert found["relative_loss"].tolist() == pytest.approx([1 - x / 4 for x in VARIED])


def test_the_dip_of_the_held_out_batches_is_in_view(tables):
    _, near = single_step.draw(tables, config(**{"single_step.zoom": 1.0}))["figure_2"].axes
    held_out = near.get_lines()[1]
    lowest = min(held_out.get_ydata())
    assert lowest == pytest.approx(-0.02 * (1 + 0.02 * 2))  # the mean over seeds 0 to 4, as the tables are made
    low, high = near.get_ylim()
    assert (low, high) == pytest.approx((4 * lowest, -4 * lowest))


def test_figure_13_shows_medians_and_quartiles(tables, drawn):
    (axes,) = drawn("single_step")["figure_13"].axes
    by_label = {container.get_label(): container for container in axes.containers}
    line, _, (bars,) = by_label["batch of the step, step 20"]
    best = paper_setting(tables["best_steps"]).query("branch == 20 and batch == 'own'")
    drops = best.groupby("batch_size")["relative_drop"]
    assert np.allclose(line.get_ydata(), drops.median())
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert np.allclose(ends, np.stack([drops.quantile(0.25), drops.quantile(0.75)], axis=1))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16", "32"]


def test_a_loss_that_rises_far_before_the_first_wide_step_is_drawn_over_small_steps():
    steps = [("wide", 0.0, 1.0), ("wide", 0.5, 9.0), ("zoom", 0.0, 1.0), ("zoom", 0.1, 0.5), ("zoom", 0.2, 3.0)]
    table = pd.DataFrame(steps, columns=["range", "step_size", "loss"])
    assert single_step.reach(table.assign(seed=0, own_batch=0, index=0, batch="own")) == 0.1


def test_a_network_without_batchnorm_has_no_panel_of_it(tables, drawn):
    without = best_steps(single_step_tables(frozen_start=1.0)["single_step"])
    others = single_step.draw({**tables, "best_steps": without}, config())
    for figures, panels in ((drawn("single_step"), 3), (others, 2)):
        axes = figures["figure_2_variations"].axes
        assert len(axes) == panels
        assert any("BatchNorm" in each.get_title() for each in axes) is (figures is not others)


def test_figure_12_has_a_panel_for_each_branch_point_and_batch_size_and_no_loss_lies_below_its_axis(drawn):
    figures = drawn("single_step")
    panels = figures["figure_12"].axes
    assert len(panels) == 9
    assert [axes.get_title() for axes in panels[:3]] == ["batch 8", "batch 16", "batch 32"]
    for axes in (figures["figure_2"].axes[0], *panels):
        assert axes.get_ylim()[0] <= min(min(line.get_ydata()) for line in axes.get_lines()[:2])
