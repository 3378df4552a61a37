"""Replay the main trajectory from its snapshots to every branch point."""

from functools import partial

from sidetrip.config import Config
from sidetrip.runtime.executor import Workplace, report_progress, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage


def unit(config: Config, seed: int, place: Workplace) -> Tables:
    from sidetrip.experiments.bench import open_bench
    from sidetrip.experiments.main_trajectory import replay
    from sidetrip.state import save_state, state_path

    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    snapshots = output_folder(config, "burn_in") / f"seed_{seed}"
    for state in replay(bench, seed, snapshots, config.branch.points):
        if place.kept:
            save_state(state, state_path(place.result / f"seed_{seed}", state.step))
        report_progress()
    return {}


@stage
def main(config: Config) -> None:
    run_stage(
        config,
        "branch",
        partial(unit, config),
        config.seeds,
        [len(config.branch.points)] * len(config.seeds),
        config.runtime.processes,
    )


if __name__ == "__main__":
    main()
