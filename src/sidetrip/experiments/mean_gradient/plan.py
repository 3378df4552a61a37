"""Plan: from the last branch point, a run on each of several batch sequences, and one on their mean gradient."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.replicas.plan import work_on
from sidetrip.experiments.units import BranchPoint, last_branch_points
from sidetrip.experiments.work import Work

COLUMNS = ["seed", "branch", "kernel", "window_steps", "model", "mean_of", "split", "loss", "accuracy"]


def work(config: Config, point: BranchPoint) -> Work:
    """Run and trips on every batch sequence and on all together, and the two kinds of means that are scored."""
    return work_on(config, 2 * config.mean_gradient.sequences, 2)


PLAN = Plan("mean_gradient", last_branch_points, work)
