"""Which steps are measured, and what that costs. Needs no torch: a stage plans before any worker starts."""

from __future__ import annotations

import numpy as np

from sidetrip.config import Config, SingleStep

GRADIENT, MOMENTUM = "gradient", "momentum"  # directions
BATCH, FROZEN = "batch", "frozen"  # BatchNorm statistics


def step_sizes(points: int, widest: float, zoom: float) -> np.ndarray:
    """Step sizes λ of the wide and of the zoomed range together, ascending from 0."""
    return np.union1d(np.linspace(0.0, widest, points), np.linspace(0.0, zoom, points))


def measured_settings(batch_size: int, settings: SingleStep) -> list[tuple[str, str]]:
    """(direction, BatchNorm statistics) to measure; the paper's first, its alternatives at the smallest size alone."""
    if batch_size > min(settings.batch_sizes):
        return [(GRADIENT, BATCH)]
    return [(GRADIENT, BATCH), (GRADIENT, FROZEN), (MOMENTUM, BATCH)]


def sweep_cost(config: Config) -> int:
    """Samples that go forward through the network at one branch point."""
    settings = config.single_step
    points = len(step_sizes(settings.points, settings.widest, settings.zoom))
    return sum(
        points * len(measured_settings(size, settings)) * (size + settings.held_out_batches * min(size, settings.chunk))
        for size in settings.batch_sizes
    )
