"""Figures of marks with intervals, and a section of such numbers: means over seeds of what the tables have."""

import pytest
from verdict_tables import config

from sidetrip.experiments.curvature import figure as curvature
from sidetrip.experiments.mean_gradient import figure as mean_gradient
from sidetrip.experiments.mean_gradient.section import facts
from sidetrip.experiments.replicas import figure as replicas


def marks(axes):
    return sorted(container.lines[0].get_xdata()[0] for container in axes.containers)


def about(values):
    return pytest.approx(sorted(values))


def test_predictions_stand_beside_what_was_measured_where_there_is_a_difference(tables, drawn):
    """Over one step there is none."""
    (axes,) = drawn("curvature")["second_order"].axes
    known = tables["second_order"].dropna()
    means = known.groupby(["kernel", "window_steps"])[["measured", "predicted"]].mean()
    assert marks(axes) == about(means.to_numpy().ravel())
    assert 0 < len(means) < len(tables["second_order"][["kernel", "window_steps"]].drop_duplicates())
    assert curvature.draw({"second_order": known.iloc[:0]}, config()) == {}


def test_parts_of_replicas_are_shares_of_the_gain_in_validation_loss(tables, drawn):
    (axes,) = drawn("replicas")["replica_parts"].axes
    means = tables["replica_parts"].query("split == 'validation'").groupby("kernel").mean(numeric_only=True)
    assert marks(axes) == about(means[["noise", "rest", "difference"]].div(means["gain"], axis=0).to_numpy().ravel())
    diamonds = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")
    predicted = means["predicted_noise"], means["predicted_rest"], means["predicted_noise"] + means["predicted_rest"]
    assert diamonds == about(value for part in predicted for value in part)
    assert replicas.draw({"replica_parts": tables["replica_parts"].iloc[:0]}, config()) == {}


def test_lifts_of_means_are_of_validation_loss(tables, drawn):
    left, right = drawn("mean_gradient")["mean_gradient"].axes
    chosen = tables["mean_gradient_lifts"].query("split == 'validation' and model in ('average', 'trip')")
    assert marks(left) == about(chosen.groupby(["kernel", "model"])["lift"].mean())
    gaps = tables["mean_gradient_gaps"].query("split == 'validation'")
    assert marks(right) == about(gaps.groupby("kernel")["favour"].mean())
    none = {name: table.iloc[:0] for name, table in tables.items() if name.startswith("mean_gradient_")}
    assert mean_gradient.draw(none, config()) == {}


def test_the_section_gives_their_means_with_intervals_where_there_are_seeds_enough(tables):
    (row, *_) = facts(tables, config())["mean_gradient"]
    gaps = tables["mean_gradient_gaps"].query("kernel == 'swa' and split == 'train'")
    assert row["title"] == "SWA"
    assert row["favour"].startswith(f"{gaps['favour'].mean():+.4f} (")
    one = {name: table[table["seed"] == 0] for name, table in tables.items() if name.startswith("mean_gradient_")}
    assert "(" not in facts(one, config())["mean_gradient"][0]["favour"]
