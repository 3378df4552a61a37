"""Take full-gradient steps on one fixed batch from each two consecutive branch points of every seed."""

from functools import partial
from itertools import pairwise

from sidetrip.config import Config
from sidetrip.files import read_table
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Unit = tuple[int, tuple[int, int]]


def unit(config: Config, which: Unit, place: Workplace) -> Tables:
    from sidetrip.experiments import fixed_batch
    from sidetrip.experiments.bench import open_bench
    from sidetrip.state import load_state, state_path

    seed, points = which
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    folder = output_folder(config, "branch") / f"seed_{seed}"
    first, second = (load_state(state_path(folder, point), bench.device) for point in points)
    sweep = read_table(output_folder(config, "single_step") / "single_step.csv")
    rate, later_rate = (config.fixed_batch.rate or fixed_batch.default_rate(sweep, seed, point) for point in points)
    return {"fixed_batch": fixed_batch.fixed_batch(bench, (first, second), (rate, later_rate), seed)}


@stage
def main(config: Config) -> None:
    units = [(seed, points) for seed in config.seeds for points in pairwise(config.branch.points)]
    run_stage(
        config,
        "fixed_batch",
        partial(unit, config),
        units,
        [2 * (config.fixed_batch.steps + 1)] * len(units),
        config.runtime.processes,
    )


if __name__ == "__main__":
    main()
