"""What the units of work of the experiments are. Needs no torch: a stage plans before any worker starts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidetrip.config import Config


@dataclass(frozen=True)
class Run:
    """A whole main trajectory, by the seed that it has."""

    seed: int


@dataclass(frozen=True)
class BranchPoint:
    """A step of a main trajectory that trips start from."""

    seed: int
    step: int


def runs(config: Config) -> list[Run]:
    """The main trajectories."""
    return [Run(seed) for seed in config.seeds]


def points_of(config: Config, seed: int) -> Sequence[int]:
    """Steps of the branch points of one main trajectory, ascending."""
    has_early = seed in config.seeds[: config.branch.early_seeds]
    return config.branch.steps if has_early else config.branch.points


def replay_steps(config: Config, points: Iterable[int]) -> int:
    """Training steps that a replay of the main trajectory to some of its steps takes (`Lab.replay`)."""
    total, here, every = 0, 0, config.burn_in.snapshot_every
    for point in points:
        snapshot = point if point == config.burn_in.steps else point - point % every
        total += point - (max(snapshot, here) if here <= point else snapshot)
        here = point
    return total


def branch_points(config: Config) -> list[BranchPoint]:
    """The branch points of every main trajectory, early ones too."""
    return [BranchPoint(seed, step) for seed in config.seeds for step in points_of(config, seed)]


def last_branch_points(config: Config) -> list[BranchPoint]:
    """The last branch point of every main trajectory."""
    return [BranchPoint(seed, config.branch.points[-1]) for seed in config.seeds]


def late_branch_points(config: Config) -> list[BranchPoint]:
    """The late branch points of every main trajectory: those that verdicts rest on."""
    return [BranchPoint(seed, step) for seed in config.seeds for step in config.branch.points]
