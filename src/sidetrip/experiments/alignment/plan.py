"""Plan of the gradients along trips: a unit is a late branch point."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, late_branch_points
from sidetrip.experiments.work import Work, training

MEASURED = ["fixed_cosine", "different_batches_cosine", "fixed_norm", "training_norm", "fixed_loss", "training_loss"]
ALONG = ["seed", "branch", "trip", "trip_step", "fixed_batch", *MEASURED, "diverged"]
BETWEEN = ["seed", "branch", "trip_step", "fixed_batch", "fixed_cosine", "training_cosine"]


def looks(config: Config) -> list[int]:
    """Steps after the branch point at which gradients are taken: 0, 1, then every few, and the last."""
    settings = config.alignment
    return sorted({0, *range(1, settings.steps + 1, settings.every), settings.steps})


def work(config: Config, point: BranchPoint) -> Work:
    """Steps of both trips, and the gradients at every look."""
    settings = config.alignment
    return training(config, 2 * (settings.steps + (1 + settings.fixed_batches) * len(looks(config))))


PLAN = Plan("alignment", late_branch_points, work)
