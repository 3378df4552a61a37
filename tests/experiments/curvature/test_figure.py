"""Predicted and measured difference: the drawn marks are those of the table."""

from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.curvature.figure import draw


def test_marks_are_means_over_seeds_of_what_has_a_difference():
    tables = all_tables()
    (axes,) = draw(tables, config())["second_order"].axes
    known = tables["second_order"].dropna()
    marks = {(container.lines[0].get_xdata()[0]) for container in axes.containers}
    means = known.groupby(["kernel", "window_steps"])[["measured", "predicted"]].mean()
    assert marks == set(means.to_numpy().ravel())
    assert len(axes.get_yticklabels()) == len(means) < tables["second_order"].groupby(["kernel", "window_steps"]).ngroups
    assert draw({**tables, "second_order": known.iloc[:0]}, config()) == {}
