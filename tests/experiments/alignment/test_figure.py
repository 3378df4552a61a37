"""Fig. 7: means over seeds and branch points, and the limits of the criteria."""

import numpy as np
import pytest
from verdict_tables import alignment, config

from sidetrip.experiments.alignment import figure as figures
from sidetrip.report.style import labelled


@pytest.mark.parametrize(
    ("panel", "label", "column", "first"),
    [
        (0, "with the first, rate of the run", "fixed_cosine", 1),
        (1, "rate of the run", "different_batches_cosine", 0),
        (2, "fixed, rate of the run", "fixed_norm", 0),
        (3, "training, rate of the run", "training_loss", 0),
    ],
)
def test_lines_are_means(panel, label, column, first):
    tables = alignment(growth=0.3)
    line = labelled(figures.draw(tables, config())["figure_7"].axes[panel])[label]
    rows = tables["alignment"].query("trip == 'constant' and trip_step >= @first")
    expected = rows.groupby("trip_step")[column].mean()
    assert list(line.get_xdata()) == list(expected.index)
    assert np.allclose(line.get_ydata(), expected)


def test_limits_of_the_criteria_are_drawn():
    settings = config()
    cosines, others, norms, _ = map(labelled, figures.draw(alignment(), settings)["figure_7"].axes)
    assert cosines["limit"].get_ydata()[0] == settings.claims.fixed_gradient_cosine
    assert others["limits"].get_ydata()[0] == settings.claims.batch_gradients_orthogonal
    assert norms["limits, second half"].get_ydata()[0] == pytest.approx(2.0 * np.exp(0.05), rel=1e-3)
