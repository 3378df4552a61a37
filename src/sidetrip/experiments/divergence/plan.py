"""Plan of the distances between trips: what is compared near a branch point, and an independent trip to the end."""

from dataclasses import dataclass

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, last_branch_points, replay_steps
from sidetrip.experiments.work import Work, scoring, training

SCORED_ON = ("train",)
BETWEEN = ["trip_to_start", "trip_to_independent", "half_rate_to_start", "midpoint_to_start", "midpoint_to_half_rate"]
DISTANCES = ["seed", "branch", "trip_step", *BETWEEN]
LOSSES = ["seed", "branch", "trip_step", "model", "loss"]
TO_END = ["seed", "branch", "step", "distance"]


@dataclass(frozen=True)
class ToTheEnd:
    """An independent trip from a step of a main trajectory to the end of the run."""

    seed: int
    step: int


def units(config: Config) -> list[BranchPoint | ToTheEnd]:
    """The last branch point of every seed, and a trip to the end from the first early one."""
    to_end = [ToTheEnd(seed, step) for seed in config.seeds for step in config.branch.early[:1]]
    return [*last_branch_points(config), *to_end]


def window(config: Config) -> int:
    """Steps of the trips near a branch point: the widest window of the two-point average."""
    return max(config.side_trips.two_point_windows)


def looks(config: Config) -> list[int]:
    """Steps after the branch point at which trips are compared, the last at the end of the window."""
    steps, number = window(config), min(config.divergence.looks, window(config))
    return sorted({round(steps * (look + 1) / number) for look in range(number)})


def work(config: Config, unit: BranchPoint | ToTheEnd) -> Work:
    """The trips, and the models that are scored."""
    if isinstance(unit, ToTheEnd):
        return training(config, replay_steps(config, [unit.step]) + config.burn_in.steps - unit.step)
    return training(config, 3 * window(config)) + scoring(config, 1 + 3 * len(looks(config)), SCORED_ON)


PLAN = Plan("divergence", units, work)
