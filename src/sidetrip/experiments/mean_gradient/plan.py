"""Plan: from the last branch point, a run on each of several batch sequences, and one on their mean gradient."""

from __future__ import annotations

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.replicas.plan import compared, last_branch_points, windows
from sidetrip.experiments.side_trips.plan import longest, shared_trips
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import Work, scoring, training

WEIGHTS, GRADIENTS = "weights", "gradients"  # what the mean is of
COLUMNS = ["seed", "branch", "kernel", "window_steps", "model", "mean_of", "split", "loss", "accuracy"]


def work(config: Config, point: BranchPoint) -> Work:
    """Run and trips on every batch sequence and on all together, and the two kinds of means that are scored."""
    steps = longest(config) + sum(schedule.steps for schedule, _ in shared_trips(compared(config)))
    models = len(windows(config)) + 3 * len(compared(config))
    return training(config, 2 * config.mean_gradient.sequences * steps) + scoring(config, 2 * models)


PLAN = Plan("mean_gradient", last_branch_points, work)
