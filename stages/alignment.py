"""Compare gradients of a fixed batch along two side trips from every branch point of every seed."""

from functools import partial

from sidetrip.config import Config
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Pair = tuple[int, int]


def unit(config: Config, pair: Pair, place: Workplace) -> Tables:
    from sidetrip.experiments import alignment
    from sidetrip.experiments.bench import open_bench
    from sidetrip.state import load_state, state_path

    seed, point = pair
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    along, between = alignment.alignment(bench, start, seed)
    return {"alignment": along, "between_trips": between}


@stage
def main(config: Config) -> None:
    settings = config.alignment
    pairs = [(seed, point) for seed in config.seeds for point in config.branch.points]
    cost = 2 * (settings.steps + 2 * (settings.steps // settings.every + 1))
    run_stage(config, "alignment", partial(unit, config), pairs, [cost] * len(pairs), config.runtime.processes)


if __name__ == "__main__":
    main()
