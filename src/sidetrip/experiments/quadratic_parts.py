"""The parts of the analytic model, which are independent of one another. Needs no torch: a stage plans with it."""

from __future__ import annotations

from sidetrip.config import Config

Part = str | float  # a name, or a rate: Lemma 1 at that rate
NAMES = ("two_scales", "appendix_a", "midpoints", "drag_and_drift", "lemma_2")


def parts(config: Config) -> list[Part]:
    """All parts."""
    return [*NAMES, *config.quadratic.rates]


def cost(part: Part) -> float:
    """Time of a part, relative to most; that of Lemma 1 goes with one over the rate."""
    return 0.006 / part if isinstance(part, float) else 1.0
