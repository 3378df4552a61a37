"""Fig. 3: the drawn lines are those of the table."""

import numpy as np
import pandas as pd
from verdict_tables import config, fixed_batch

from sidetrip.experiments.fixed_batch import figure as figures


def test_lines_are_the_losses_of_one_seed_and_batch_after_each_number_of_steps():
    table = fixed_batch(hill=0.5)
    drawn = table.query("seed == 0 and pair == 'run' and fixed_batch == 0").set_index(["batch", "steps"])
    _, own, held_out, _ = figures.draw({"fixed_batch": table}, config())["figure_3"].axes
    for axes, batch in ((own, "own"), (held_out, "held_out")):
        assert len(axes.get_lines()) == 4
        for steps, line in enumerate(axes.get_lines()):
            rows = drawn.loc[[(batch, steps)]]
            assert np.array_equal(line.get_xdata(), rows["alpha"])
            assert np.array_equal(line.get_ydata(), rows["loss"])


def test_neighbouring_branch_points_have_a_row_each():
    table = fixed_batch()
    more = pd.concat([table, table.assign(branch=30, later_branch=35)])
    figure = figures.draw({"fixed_batch": more}, config())["figure_3"]
    titles = [axes.get_title() for axes in figure.axes]
    assert sum("t = 20, t + Δ = 30" in title for title in titles) == 2
    assert sum("t = 30, t + Δ = 35" in title for title in titles) == 2
