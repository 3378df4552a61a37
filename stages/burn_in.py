"""Train the main trajectory of every seed and keep snapshots."""

from functools import partial

from sidetrip.config import Config, ConfigError
from sidetrip.experiments import main_trajectory
from sidetrip.experiments.bench import open_bench
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage
from sidetrip.training import DivergedError


def unit(config: Config, seed: int, place: Workplace) -> Tables:
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    return {"batch_losses": main_trajectory.burn_in(bench, seed, place)}


@stage
def main(config: Config) -> None:
    costs = [config.burn_in.steps] * len(config.seeds)
    try:
        run_stage(config, "burn_in", partial(unit, config), config.seeds, costs)
    except DivergedError as error:
        raise ConfigError(f"burn_in.rate = {config.burn_in.rate:g}: {error}") from error


if __name__ == "__main__":
    main()
