"""When trips are looked at. Needs no torch: a stage plans with it."""

from __future__ import annotations

from sidetrip.config import Config
from sidetrip.engine.units import BranchPoint, replay_steps


def alignment_looks(config: Config) -> list[int]:
    """Steps after the branch point at which alignment takes gradients: 0, 1, then every few, and the last."""
    settings = config.alignment
    return sorted({0, *range(1, settings.steps + 1, settings.every), settings.steps})


def alignment_cost(config: Config, point: BranchPoint) -> float:
    """Forward and backward passes of one branch point."""
    return 2 * (config.alignment.steps + (1 + config.alignment.fixed_batches) * len(alignment_looks(config)))


def divergence_looks(config: Config) -> list[int]:
    """Steps after the branch point at which trips are compared: the branch point, and where two-point averages end."""
    return [0, *config.side_trips.two_point_windows]


def divergence_steps(config: Config, point: BranchPoint) -> int:
    """Training steps of one branch point: an independent trip to the end of the run, and replays of the main one."""
    compared_at = [point.step + look for look in divergence_looks(config)]
    return config.burn_in.steps - point.step + replay_steps(config, compared_at)


def divergence_cost(config: Config, point: BranchPoint) -> float:
    """What a branch point reports as done: steps of the independent trip, and looks at the main one."""
    return config.burn_in.steps - point.step + len(divergence_looks(config))
