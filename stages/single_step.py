"""Measure the loss along one gradient step at every branch point of every seed."""

from functools import partial

from sidetrip.config import Config
from sidetrip.experiments.sweep import sweep_cost
from sidetrip.runtime.executor import Workplace, worker_device
from sidetrip.runtime.stage import Tables, output_folder, run_stage, stage

Pair = tuple[int, int]


def unit(config: Config, pair: Pair, place: Workplace) -> Tables:
    from sidetrip.experiments import single_step
    from sidetrip.experiments.bench import open_bench
    from sidetrip.state import load_state, state_path

    seed, point = pair
    bench = open_bench(config, output_folder(config, "prepare_data"), worker_device())
    start = load_state(state_path(output_folder(config, "branch") / f"seed_{seed}", point), bench.device)
    curves, curvature = single_step.single_step(bench, start, seed)
    return {"single_step": curves, "curvature": curvature}


@stage
def main(config: Config) -> None:
    pairs = [(seed, point) for seed in config.seeds for point in config.branch.points]
    run_stage(config, "single_step", partial(unit, config), pairs, [sweep_cost(config)] * len(pairs))


if __name__ == "__main__":
    main()
