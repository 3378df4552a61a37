"""Solve and simulate the analytic model."""

from functools import partial

from sidetrip.config import Config
from sidetrip.experiments.analytic_model import PARTS
from sidetrip.runtime.executor import Workplace, report_progress, worker_device
from sidetrip.runtime.stage import Tables, run_stage, stage


def unit(config: Config, part: str, place: Workplace) -> Tables:
    tables = PARTS[part](config.quadratic, worker_device())
    report_progress()
    return tables


@stage
def main(config: Config) -> None:
    run_stage(config, "quadratic", partial(unit, config), list(PARTS), [1] * len(PARTS))


if __name__ == "__main__":
    main()
