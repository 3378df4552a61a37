"""Compare averages with side trips at every branch point of every seed, and along the whole main trajectory."""

from functools import partial

from sidetrip.config import Config
from sidetrip.experiments.cases import trip_steps
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Unit = tuple[int, int | None]  # seed, and branch point; None: the whole main trajectory


def unit(config: Config, which: Unit, place: Workplace) -> Tables:
    from sidetrip.experiments import side_trips
    from sidetrip.experiments.bench import open_bench
    from sidetrip.state import load_state, state_path

    seed, point = which
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    if point is None:
        return {"running_averages": side_trips.running_averages(bench, seed)}
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    scores, distances = side_trips.side_trips(bench, start, seed)
    return {"side_trips": scores, "distances": distances}


@stage
def main(config: Config) -> None:
    points: list[int | None] = [None, *config.branch.points]
    units: list[Unit] = [(seed, point) for seed in config.seeds for point in points]
    costs = [config.burn_in.steps if point is None else trip_steps(config) for _, point in units]
    run_stage(config, "side_trips", partial(unit, config), units, costs, config.runtime.processes)


if __name__ == "__main__":
    main()
