"""Compare averages with side trips at every branch point of every seed, and average along the whole main trajectory."""

from functools import partial

from sidetrip.config import Config
from sidetrip.experiments.cases import longest, starts_between, trip_steps
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Pair = tuple[int, int]  # seed, and step of the main trajectory


def unit(config: Config, pair: Pair, place: Workplace) -> Tables:
    from sidetrip.experiments import side_trips
    from sidetrip.experiments.bench import open_bench
    from sidetrip.experiments.main_trajectory import replay
    from sidetrip.state import load_state, state_path

    seed, point = pair
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    if point not in config.branch.points:
        (start,) = replay(bench, seed, output_folder(config, "burn_in") / f"seed_{seed}", [point])
        scores = side_trips.averages_alone(bench, start, seed)
        return {"running_averages": side_trips.along_main(scores, config)}
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    scores, distances = side_trips.side_trips(bench, start, seed)
    return {"side_trips": scores, "distances": distances, "running_averages": side_trips.along_main(scores, config)}


@stage
def main(config: Config) -> None:
    between = starts_between(config)
    units = [(seed, point) for seed in config.seeds for point in [*config.branch.points, *between]]
    costs = [longest(config) if point in between else trip_steps(config) for _, point in units]
    run_stage(config, "side_trips", partial(unit, config), units, costs, config.runtime.processes)


if __name__ == "__main__":
    main()
