"""The drawn marks are those of the table."""

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.replicas.figure import draw


def test_marks_are_means_over_seeds_of_validation_loss():
    tables = all_tables()
    (axes,) = draw(tables, config())["replica_parts"].axes
    means = tables["replica_parts"].query("split == 'validation'").groupby("kernel").mean(numeric_only=True)
    shares = means[["noise", "rest", "difference"]].div(means["gain"], axis=0)
    marks = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)  # type: ignore[attr-defined]
    assert marks == pytest.approx(sorted(shares.to_numpy().ravel()))
    diamonds = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")  # type: ignore[index]
    predicted = means["predicted_noise"], means["predicted_rest"], means["predicted_noise"] + means["predicted_rest"]
    assert diamonds == pytest.approx(sorted(value for part in predicted for value in part))
    assert draw({"replica_parts": tables["replica_parts"].iloc[:0]}, config()) == {}
