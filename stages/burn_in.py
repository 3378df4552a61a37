"""Train the main trajectory of every seed and keep snapshots."""

from functools import partial

from sidetrip.config import Config, ConfigError
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage


def unit(config: Config, seed: int, place: Workplace) -> Tables:
    from sidetrip.experiments.bench import open_bench
    from sidetrip.experiments.main_trajectory import burn_in
    from sidetrip.training import DivergedError

    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    try:
        return {"batch_losses": burn_in(bench, seed, place)}
    except DivergedError as error:
        raise ConfigError(f"burn_in.rate = {config.burn_in.rate:g}: seed {seed}: {error}") from error


@stage
def main(config: Config) -> None:
    run_stage(
        config,
        "burn_in",
        partial(unit, config),
        config.seeds,
        [config.burn_in.steps] * len(config.seeds),
        config.runtime.processes,
    )


if __name__ == "__main__":
    main()
