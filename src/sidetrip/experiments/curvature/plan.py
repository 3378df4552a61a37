"""Plan of the curvature at late branch points, in the directions of the gradient noise."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, late_branch_points
from sidetrip.experiments.work import Work, training

COLUMNS = ["seed", "branch", "start", "curvature", "power"]
DOUBLE_BACKWARD = 3  # training steps that a product of the Hessian and a vector takes as long as, about


def work(config: Config, point: BranchPoint) -> Work:
    """The way to the average, gradients for the noise, and products of the Hessian."""
    settings = config.curvature
    products = DOUBLE_BACKWARD * settings.batches * settings.nodes * settings.starts
    return training(config, max(config.side_trips.windows) + 2 * settings.starts + products)


PLAN = Plan("curvature", late_branch_points, work)
