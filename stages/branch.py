"""Replay the main trajectory from its snapshots to every branch point."""

from functools import partial

from sidetrip.config import Config
from sidetrip.experiments.bench import open_bench
from sidetrip.experiments.main_trajectory import replay
from sidetrip.runtime.executor import report_progress, run_units, worker_device
from sidetrip.runtime.stage import output_folder, stage
from sidetrip.state import save_state, state_path


def unit(config: Config, seed: int) -> None:
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    snapshots = output_folder(config, "burn_in") / f"seed_{seed}"
    for state in replay(bench, seed, snapshots, config.branch.points):
        save_state(state, state_path(output_folder(config, "branch") / f"seed_{seed}", state.step))
        report_progress()


@stage
def main(config: Config) -> None:
    costs = [len(config.branch.points)] * len(config.seeds)
    run_units(partial(unit, config), config.seeds, costs, config.runtime, config.model.precision, "branch")


if __name__ == "__main__":
    main()
