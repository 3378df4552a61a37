"""Train the main trajectory of every seed and keep snapshots."""

from functools import partial

import pandas as pd

from sidetrip.config import Config, ConfigError
from sidetrip.experiments import main_trajectory
from sidetrip.experiments.bench import open_bench
from sidetrip.runtime.executor import run_units, worker_device
from sidetrip.runtime.stage import output_folder, stage, write_table
from sidetrip.training import DivergedError


def unit(config: Config, seed: int) -> pd.DataFrame:
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    return main_trajectory.burn_in(bench, seed, output_folder(config, "burn_in") / f"seed_{seed}")


@stage
def main(config: Config) -> None:
    costs = [config.burn_in.steps] * len(config.seeds)
    try:
        tables = run_units(
            partial(unit, config), config.seeds, costs, config.runtime, config.model.precision, "burn_in"
        )
    except DivergedError as error:
        raise ConfigError(f"burn_in.rate = {config.burn_in.rate:g}: {error}") from error
    write_table(pd.concat(tables), output_folder(config, "burn_in") / "batch_losses.csv")


if __name__ == "__main__":
    main()
