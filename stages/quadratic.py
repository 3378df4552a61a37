"""Solve and simulate the analytic model."""

from functools import partial

from sidetrip.config import Config
from sidetrip.runtime.executor import Workplace, report_progress, worker_device
from sidetrip.runtime.stage import Tables, run_stage, stage

PARTS = ("two_scales", "appendix_a", "midpoints", "drag_and_drift", "lemma_2")


Part = str | float  # one of PARTS, or a rate: Lemma 1 at that rate


def cost(part: Part) -> float:
    """Time of a part, relative to most; that of Lemma 1 goes with one over the rate."""
    return 0.006 / part if isinstance(part, float) else 1.0


def unit(config: Config, part: Part, place: Workplace) -> Tables:
    from sidetrip.experiments import analytic_model

    settings, device = config.quadratic, worker_device()
    if isinstance(part, float):
        tables = {"lemma_1": analytic_model.lemma_1(settings, part, device)}
    else:
        tables = analytic_model.PARTS[part](settings, device)
    report_progress(cost(part))
    return tables


@stage
def main(config: Config) -> None:
    parts: list[Part] = [*PARTS, *config.quadratic.rates]
    run_stage(config, "quadratic", partial(unit, config), parts, [cost(part) for part in parts])


if __name__ == "__main__":
    main()
