"""Predicted and measured difference: the drawn marks are those of the table."""

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.curvature.figure import draw


def test_marks_are_means_over_seeds_of_what_has_a_difference():
    """Over one step there is none."""
    tables = all_tables()
    (axes,) = draw(tables, config())["second_order"].axes
    known = tables["second_order"].dropna()
    means = known.groupby(["kernel", "window_steps"])[["measured", "predicted"]].mean()
    marks = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)  # type: ignore[attr-defined]
    assert marks == pytest.approx(sorted(means.to_numpy().ravel()))
    assert 0 < len(means) < len(tables["second_order"][["kernel", "window_steps"]].drop_duplicates())
    assert draw({**tables, "second_order": known.iloc[:0]}, config()) == {}
