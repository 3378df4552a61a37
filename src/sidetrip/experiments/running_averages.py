"""Averages along the main trajectory itself (the lines of Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.experiments.cases import Window, cases, looks, widest
from sidetrip.experiments.side_trips import BATCHES, MOMENTARY, Scores, follow


def measure(lab: Lab, window: Window) -> dict[str, pd.DataFrame]:
    """Score the momentary model and the widest average of each kind over one window of the main trajectory.

    Returns
    -------
    running_averages : DataFrame
        seed, step, kernel ("none" for momentary), window_steps (that of the average), split, loss, accuracy.
    """
    (start,) = lab.replay(window.seed, [window.start])
    scores = Scores(lab, window.seed, start)
    follow(lab, start, window.seed, widest(cases(lab.config)), looks(lab.config), scores)
    table = pd.DataFrame(scores.rows)
    table = table[table["split"] != BATCHES]
    before_end = table["look"] * lab.config.side_trips.look_every
    table["step"] = table["branch"] + table["window_steps"] - before_end
    table.loc[table["model"] == MOMENTARY, "window_steps"] = 0
    return {"running_averages": table[["seed", "step", "kernel", "window_steps", "split", "loss", "accuracy"]]}
