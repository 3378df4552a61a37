"""When trips are looked at. Needs no torch: a stage plans with it."""

from __future__ import annotations

from sidetrip.config import Config
from sidetrip.engine.units import BranchPoint


def alignment_looks(config: Config) -> list[int]:
    """Steps after the branch point at which alignment takes gradients: 0, 1, then every few, and the last."""
    settings = config.alignment
    return sorted({0, *range(1, settings.steps + 1, settings.every), settings.steps})


def alignment_cost(config: Config, point: BranchPoint) -> float:
    """Forward and backward passes of one branch point."""
    return 2 * (config.alignment.steps + (1 + config.alignment.fixed_batches) * len(alignment_looks(config)))


def divergence_cost(config: Config, point: BranchPoint) -> float:
    """Training steps of one branch point: an independent trip to the end of the run, and the main one beside it."""
    return config.burn_in.steps - point.step + config.side_trips.two_point_windows[-1]
