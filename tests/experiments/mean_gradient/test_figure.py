"""The drawn marks are those of the table."""

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.mean_gradient.figure import draw


def test_marks_are_means_over_seeds_of_validation_loss():
    tables = all_tables()
    left, right = draw(tables, config())["mean_gradient"].axes
    chosen = tables["mean_gradient_lifts"].query("split == 'validation' and model in ('average', 'trip')")
    lifts = chosen.groupby(["kernel", "model"])["lift"].mean()
    favours = tables["mean_gradient_gaps"].query("split == 'validation'").groupby("kernel")["favour"].mean()
    for axes, expected in ((left, lifts), (right, favours)):
        marks = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)  # type: ignore[attr-defined]
        assert marks == pytest.approx(sorted(expected))
    none = {name: table.iloc[:0] for name, table in tables.items() if name.startswith("mean_gradient_")}
    assert draw(none, config()) == {}
