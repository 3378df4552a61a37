"""Figures of lines: the drawn lines are means over seeds, or rows, of tables known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from report_tables import quadratic as quadratic_tables
from verdict_tables import SEEDS, alignment, config, divergence, fixed_batch

from sidetrip.experiments.alignment import figure as figure_7
from sidetrip.experiments.divergence import figure as distances
from sidetrip.experiments.fixed_batch import figure as figure_3
from sidetrip.experiments.quadratic import figure as quadratic
from sidetrip.experiments.quadratic.verdict import covariance_ratios
from sidetrip.report.style import labelled


def test_losses_on_a_fixed_batch_are_those_of_one_seed_and_batch_after_each_number_of_steps():
    table = fixed_batch(hill=0.5)
    drawn = table.query("seed == 0 and pair == 'run' and fixed_batch == 0").set_index(["batch", "steps"])
    _, own, held_out, _ = figure_3.draw({"fixed_batch": table}, config())["figure_3"].axes
    for axes, batch in ((own, "own"), (held_out, "held_out")):
        assert len(axes.get_lines()) == 4
        for steps, line in enumerate(axes.get_lines()):
            rows = drawn.loc[[(batch, steps)]]
            assert np.array_equal(line.get_xdata(), rows["alpha"])
            assert np.array_equal(line.get_ydata(), rows["loss"])


def test_neighbouring_branch_points_have_a_row_each():
    table = fixed_batch()
    more = pd.concat([table, table.assign(branch=30, later_branch=35)])
    figure = figure_3.draw({"fixed_batch": more}, config())["figure_3"]
    titles = [axes.get_title() for axes in figure.axes]
    assert sum("t = 20, t + Δ = 30" in title for title in titles) == 2
    assert sum("t = 30, t + Δ = 35" in title for title in titles) == 2


def test_figure_6_shows_distances_training_losses_and_their_difference_with_its_limits():
    tables = divergence(gap=0.02)
    left, middle, right = distances.draw(tables, config())["figure_6"].axes
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
    claims = replace(config().claims, midpoint_tracks_half_rate=0.1)
    *_, right = distances.draw(tables, replace(config(), claims=claims))["figure_6"].axes
    assert np.allclose(np.abs(labelled(right)["limits: 0.1 of the mean gain"].get_ydata()), 0.01)


def test_figure_8_begins_at_the_early_point_and_shades_the_last_third():
    tables = divergence()
    (axes,) = distances.draw(tables, config())["figure_8"].axes
    (line,) = [line for line in axes.get_lines() if "mean" in line.get_label()]
    expected = tables["to_independent_end"].groupby("step")["distance"].mean()
    assert np.allclose(line.get_ydata(), expected)
    assert [patch.get_xy()[0] for patch in axes.patches] == [30]  # type: ignore[attr-defined]
    assert axes.get_xlim() == (10, 40)
    assert len(axes.get_lines()) == 1 + len(SEEDS)
    assert "figure_8" not in distances.draw({**tables, "to_independent_end": pd.DataFrame()}, config())


def test_gradients_are_means_over_seeds_and_branch_points():
    tables = alignment(growth=0.3)
    panels = figure_7.draw(tables, config())["figure_7"].axes
    means = tables["alignment"].query("trip == 'constant'").groupby("trip_step").mean(numeric_only=True)
    for axes, label, column, first in zip(
        panels,
        ("with the first, rate of the run", "rate of the run", "fixed, rate of the run", "training, rate of the run"),
        ("fixed_cosine", "different_batches_cosine", "fixed_norm", "training_loss"),
        (1, 0, 0, 0),
        strict=True,
    ):
        line = labelled(axes)[label]
        assert list(line.get_xdata()) == list(means.index[first:])
        assert np.allclose(line.get_ydata(), means[column][first:])


def test_limits_of_the_criteria_are_drawn():
    settings = config()
    cosines, others, norms, _ = map(labelled, figure_7.draw(alignment(), settings)["figure_7"].axes)
    assert cosines["limit"].get_ydata()[0] == settings.claims.fixed_gradient_cosine
    assert others["limits"].get_ydata()[0] == settings.claims.batch_gradients_orthogonal
    assert norms["limits, second half"].get_ydata()[0] == pytest.approx(2.0 * np.exp(0.05), rel=1e-3)


def test_figure_9_is_the_sum_of_figure_11():
    drawn = quadratic.draw(quadratic_tables(), config())
    (total,) = drawn["figure_9"].axes
    fast, slow = drawn["figure_11"].axes
    for both, one, other in zip(total.get_lines(), fast.get_lines(), slow.get_lines(), strict=True):
        assert both.get_label() == one.get_label() == other.get_label()
        assert np.allclose(both.get_ydata(), one.get_ydata() + other.get_ydata())


def test_lemma_1_shows_roots_of_the_squared_radii():
    (axes,) = quadratic.draw(quadratic_tables(), config())["lemma_1"].axes
    simulated, _, exact = axes.get_lines()
    assert list(simulated.get_xdata()) == [0.01, 0.04]
    assert np.allclose(exact.get_ydata(), np.sqrt([0.01 / 1.99, 0.04 / 1.96]))
    assert np.allclose(simulated.get_ydata(), exact.get_ydata())


def test_appendix_a_shows_every_kernel_and_formula():
    kernels = list(covariance_ratios(quadratic_tables()["appendix_a"], 0.95)["kernel"].unique())
    symmetric, other = quadratic.draw(quadratic_tables(), config())["appendix_a"].axes
    for axes in (symmetric, other):
        assert len(axes.containers) == 2
        assert [label.get_text() for label in axes.get_xticklabels()] == kernels
