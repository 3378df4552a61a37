"""Plan of the analytic model: its parts, which are independent of one another."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.work import Work

Part = str | float  # a name, or a rate: Lemma 1 at that rate
NAMES = ("two_scales", "appendix_a", "midpoints", "drag_and_drift", "lemma_2")


def parts(config: Config) -> list[Part]:
    """All parts; Lemma 1 at small rates takes longest and comes first."""
    return [*sorted(config.quadratic.rates), *NAMES]


PLAN = Plan("quadratic", parts, lambda config, part: Work(scored=1), counted="part", network=False)
