"""What the units of work of the experiments are. Needs no torch: a stage plans before any worker starts."""

from __future__ import annotations

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


def branch_points(config: Config) -> list[BranchPoint]:
    """The branch points of every main trajectory, early ones too."""
    return [BranchPoint(seed, step) for seed in config.seeds for step in config.branch.steps]


def late_branch_points(config: Config) -> list[BranchPoint]:
    """The late branch points of every main trajectory: those that verdicts rest on."""
    return [BranchPoint(seed, step) for seed in config.seeds for step in config.branch.points]


def branch_points_with_a_next(config: Config) -> list[BranchPoint]:
    """The late branch points but for each seed's last."""
    return [BranchPoint(seed, step) for seed in config.seeds for step in config.branch.points[:-1]]
