"""When trips are looked at. Needs no torch: a stage plans with it."""

from __future__ import annotations

from sidetrip.config import Config


def alignment_looks(config: Config) -> list[int]:
    """Steps after the branch point at which alignment takes gradients."""
    settings = config.alignment
    return list(range(0, settings.steps + 1, settings.every))


def alignment_cost(config: Config, point: object) -> float:
    """Forward and backward passes of one branch point."""
    return 2 * (config.alignment.steps + 2 * len(alignment_looks(config)))
