"""Fig. 7: means over seeds and branch points, and the limits of the criteria."""

import numpy as np
import pytest
from verdict_tables import alignment, config

from sidetrip.experiments.alignment import figure as figures
from sidetrip.report.style import labelled


def test_lines_are_means():
    tables = alignment(growth=0.3)
    panels = figures.draw(tables, config())["figure_7"].axes
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
    cosines, others, norms, _ = map(labelled, figures.draw(alignment(), settings)["figure_7"].axes)
    assert cosines["limit"].get_ydata()[0] == settings.claims.fixed_gradient_cosine
    assert others["limits"].get_ydata()[0] == settings.claims.batch_gradients_orthogonal
    assert norms["limits, second half"].get_ydata()[0] == pytest.approx(2.0 * np.exp(0.05), rel=1e-3)
