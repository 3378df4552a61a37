"""Averages along the main trajectory itself (the lines of Fig. 1, 5, 10, 14)."""

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.experiments.running_averages.plan import COLUMNS, Stretch, stretch_steps
from sidetrip.experiments.side_trips.measure import Scores, watched
from sidetrip.experiments.side_trips.plan import cases, widest
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule


def measure(lab: Lab, stretch: Stretch) -> dict[str, pd.DataFrame]:
    """Score the momentary model and the widest average of each kind over windows of the main trajectory, in one pass.

    Returns
    -------
    running_averages : DataFrame
        seed, step, kernel ("none" for momentary), window_steps (that of the average), split, loss, accuracy.
    """
    (start,) = lab.replay(stretch.seed, stretch.starts[:1], [each_step(lab)])
    averaged = widest(cases(lab.config))
    scores = [Scores(lab, stretch.seed, start, first) for first in stretch.starts]
    observers = [observer for each in scores for observer in watched(averaged, each)]
    along = Schedule.constant(stretch_steps(lab.config, stretch))
    lab.take_trip(start, lab.stream(stretch.seed), along, [*observers, each_step(lab)])
    return {"running_averages": pd.concat([_along(lab, each) for each in scores], ignore_index=True)}


def _along(lab: Lab, scores: Scores) -> pd.DataFrame:
    """Rows of one window, by their steps on the main trajectory."""
    table = scores.table()
    before_end = table["look"] * lab.config.side_trips.look_every
    table["step"] = table["branch"] + table["window_steps"] - before_end
    table.loc[table["model"] == "momentary", "window_steps"] = 0
    return table[COLUMNS]
