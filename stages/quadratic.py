"""Solve and simulate the analytic model."""

from functools import partial

from sidetrip.config import Config
from sidetrip.runtime.executor import Workplace, report_progress, worker_device
from sidetrip.runtime.stage import Tables, run_stage, stage

PARTS = ("lemma_1", "two_scales", "appendix_a", "midpoints", "drag_and_drift", "lemma_2")


def unit(config: Config, part: str, place: Workplace) -> Tables:
    from sidetrip.experiments import analytic_model

    tables = analytic_model.PARTS[part](config.quadratic, worker_device())
    report_progress()
    return tables


@stage
def main(config: Config) -> None:
    run_stage(config, "quadratic", partial(unit, config), PARTS, [1] * len(PARTS))


if __name__ == "__main__":
    main()
