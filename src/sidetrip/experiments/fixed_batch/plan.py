"""Plan of the trips on a fixed batch: a unit is a late branch point and the next one of its seed."""

from __future__ import annotations

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, branch_points_with_a_next
from sidetrip.experiments.work import Work

OWN, HELD_OUT = "own", "held_out"  # batches
COLUMNS = ["seed", "branch", "later_branch", "step_size", "steps", "alpha", "batch", "loss"]
HALVINGS = 10  # of the widest step size, tried in every line search
SEARCH = 20  # forward passes of a line search through the batch, about


def work(config: Config, point: BranchPoint) -> Work:
    """Line searches and steps from both points, and the lines between them."""
    settings, batch = config.fixed_batch, config.burn_in.batch_size
    lines = 2 * settings.points * (settings.steps + 1)
    return Work(trained=4 * settings.steps * batch, scored=(lines + 2 * SEARCH * settings.steps) * batch)


PLAN = Plan("fixed_batch", branch_points_with_a_next, work)
