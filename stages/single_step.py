"""Measure the loss along one gradient step at every branch point of every seed."""

from functools import partial

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments import single_step
from sidetrip.experiments.bench import open_bench
from sidetrip.runtime.executor import run_units, worker_device
from sidetrip.runtime.stage import output_folder, stage, write_table
from sidetrip.state import load_state, state_path

Pair = tuple[int, int]


def unit(config: Config, pair: Pair) -> pd.DataFrame:
    seed, point = pair
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    return single_step.single_step(bench, start, seed)


@stage
def main(config: Config) -> None:
    pairs = [(seed, point) for seed in config.seeds for point in config.branch.points]
    cost = 2 * config.single_step.points * sum(config.single_step.batch_sizes)
    tables = run_units(
        partial(unit, config), pairs, [cost] * len(pairs), config.runtime, config.model.precision, "single_step"
    )
    write_table(pd.concat(tables), output_folder(config, "single_step") / "single_step.csv")


if __name__ == "__main__":
    main()
