"""Follow an independent trip from every branch point of every seed through weight space."""

from functools import partial

from sidetrip.config import Config
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Pair = tuple[int, int]


def unit(config: Config, pair: Pair, place: Workplace) -> Tables:
    from sidetrip.experiments import divergence
    from sidetrip.experiments.bench import open_bench
    from sidetrip.state import load_state, state_path

    seed, point = pair
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    snapshots = output_folder(config, "burn_in") / f"seed_{seed}"
    distances, along = divergence.divergence(bench, start, seed, snapshots)
    return {"trip_distances": distances, "to_independent_end": along}


@stage
def main(config: Config) -> None:
    pairs = [(seed, point) for seed in config.seeds for point in config.branch.points]
    steps = config.side_trips.two_point_windows[-1]
    run_stage(config, "divergence", partial(unit, config), pairs, [steps] * len(pairs), config.runtime.processes)


if __name__ == "__main__":
    main()
