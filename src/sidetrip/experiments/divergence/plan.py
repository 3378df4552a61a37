"""Plan of the distances between trips: a unit is a late branch point."""

from __future__ import annotations

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, late_branch_points, replay_steps
from sidetrip.experiments.work import Work, training

TRIP_DISTANCES = ["seed", "branch", "trip_step", "trip_to_start", "trip_to_independent"]
TO_END = ["seed", "branch", "step", "distance"]


def looks(config: Config) -> list[int]:
    """Steps after the branch point at which trips are compared: the branch point, and where two-point averages end."""
    return [0, *config.side_trips.two_point_windows]


def work(config: Config, point: BranchPoint) -> Work:
    """An independent trip to the end of the run, and replays of the main one."""
    compared_at = [point.step + look for look in looks(config)]
    return training(config, config.burn_in.steps - point.step + replay_steps(config, compared_at))


PLAN = Plan("divergence", late_branch_points, work)
