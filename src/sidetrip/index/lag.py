"""By how much an average lags behind the run, and behind its trip if a lower rate costs that no progress.

The iterates of an average with weights w over k steps are in the mean a = Σ wⱼ (k − j) = Σ (1 − sᵢ) steps old, sᵢ being
the multipliers of its trip. On a quadratic loss the trip, whose rates lack so many steps, is to first order as far
behind. Where it is not, average − trip is larger by a times what a step of the run lowers the loss of averages.
"""

from __future__ import annotations

import numpy as np

from sidetrip.config import Config, SideTrips
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.records import Table
from sidetrip.verdicts.scores import at_widest, of_score

SPEED_OF = "swa"  # whose averages tell how fast the loss falls: they have the least noise


def ages(settings: SideTrips) -> dict[str, float]:
    """Of every method's average over its widest window: the mean age of its iterates at the end, in steps."""
    return {method.name: float((1 - method.widest(settings).schedule().multipliers).sum()) for method in METHODS}


def fall_of_a_step(points: Table) -> float:
    """What a step of the run lowers the validation loss of averages by, in nats, by points of `scores.by_point`.

    By least squares over the late branch points, mean over seeds; nan if there is one point alone.
    """
    losses = of_score(at_widest(points, SPEED_OF), "loss", "validation")["average"].unstack("branch").dropna()
    if losses.shape[1] < 2 or losses.empty:
        return float("nan")
    _, slopes = np.polynomial.polynomial.polyfit(losses.columns.to_numpy(float), losses.to_numpy(float).T, 1)
    return -float(np.mean(slopes))


def lags(points: Table, config: Config) -> dict[str, float]:
    """By method, in nats; none where the rate itself falls, for then the loss falls with it."""
    if config.burn_in.schedule != "constant":
        return {}
    fall = fall_of_a_step(points)
    return {method: age * fall for method, age in ages(config.side_trips).items()}
