"""Fig. 9, 11, Lemma 1 and Appendix A: the drawn lines."""

import numpy as np
from report_tables import quadratic as tables
from verdict_tables import config

from sidetrip.experiments.quadratic import figure as quadratic
from sidetrip.experiments.quadratic.verdict import covariance_ratios


def test_figure_9_is_the_sum_of_figure_11():
    drawn = quadratic.draw(tables(), config())
    (total,) = drawn["figure_9"].axes
    fast, slow = drawn["figure_11"].axes
    for both, one, other in zip(total.get_lines(), fast.get_lines(), slow.get_lines(), strict=True):
        assert both.get_label() == one.get_label() == other.get_label()
        assert np.allclose(both.get_ydata(), one.get_ydata() + other.get_ydata())


def test_lemma_1_shows_roots_of_the_squared_radii():
    (axes,) = quadratic.draw(tables(), config())["lemma_1"].axes
    simulated, _, exact = axes.get_lines()
    assert list(simulated.get_xdata()) == [0.01, 0.04]
    assert np.allclose(exact.get_ydata(), np.sqrt([0.01 / 1.99, 0.04 / 1.96]))
    assert np.allclose(simulated.get_ydata(), exact.get_ydata())


def test_appendix_a_shows_every_kernel_and_formula():
    kernels = list(covariance_ratios(tables()["appendix_a"], 0.95)["kernel"].unique())
    symmetric, other = quadratic.draw(tables(), config())["appendix_a"].axes
    for axes in (symmetric, other):
        assert len(axes.containers) == 2
        assert [label.get_text() for label in axes.get_xticklabels()] == kernels
