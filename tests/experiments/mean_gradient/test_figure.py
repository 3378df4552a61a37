"""The drawn marks are those of the table."""

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.mean_gradient.figure import draw


def test_marks_are_means_over_seeds_of_validation_loss():
    tables = all_tables()
    (axes,) = draw(tables, config())["mean_gradient"].axes
    means = tables["mean_gradient_parts"].query("split == 'validation'").groupby("kernel").mean(numeric_only=True)
    shares = means[["of_weights", "of_gradients"]].div(means["gain"], axis=0)
    marks = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)  # type: ignore[attr-defined]
    assert marks == pytest.approx(sorted(shares.to_numpy().ravel()))
    assert draw({"mean_gradient_parts": tables["mean_gradient_parts"].iloc[:0]}, config()) == {}
