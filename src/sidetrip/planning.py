"""What a variant costs before it runs: units, work and storage, by arithmetic on its settings.

    python -m sidetrip.planning [--workers N ...] [VARIANT ...]

Work is counted in training samples: pictures that go forward and backward through the network once. One that
only goes forward counts a third. Time is work over the measured samples a second of one worker.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from sidetrip.config import Config, load_params, resolve
from sidetrip.engine.models import build_model
from sidetrip.engine.state import initial_state, save_state
from sidetrip.experiments.cases import cases, controls, longest, starts_between, trip_steps, widest
from sidetrip.experiments.sweep import sweep_cost

FORWARD = 1 / 3  # a backward pass takes about twice a forward pass
# Training pictures, validation pictures, channels, classes; a folder is taken to hold the data set it is named after.
DATASETS = {
    "fashion_mnist": (60_000, 10_000, 1, 10),
    "cifar10": (50_000, 10_000, 3, 10),
    "cifar100": (50_000, 10_000, 3, 100),
    "imagenet": (1_281_167, 50_000, 3, 1000),
}
LABEL_BYTES = 8 + 4  # and the checksum
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
WORKERS = (1, 2, 8, 64)


def _evaluation(config: Config) -> float:
    """Work of scoring one model: recalibration, part of the training split, all or part of the validation split."""
    settings = config.evaluation
    validation = settings.validation_samples or DATASETS[config.data.name][1]
    return FORWARD * (settings.recalibration_samples + settings.train_samples + validation)


def units(config: Config) -> dict[str, list[float]]:
    """Work of every unit of every stage that trains or evaluates, in training samples."""
    batch, steps, points = config.burn_in.batch_size, config.burn_in.steps, config.branch.points
    seeds, evaluation = len(config.seeds), _evaluation(config)
    compared, along, snapshots = cases(config), config.alignment, config.burn_in.snapshot_every
    looks = {0, *(case.window for case in compared)}
    scored = len(looks) + 2 * len(compared) + len(controls(config))
    alone = len({0, *(case.window for case in widest(compared))}) + len(widest(compared))
    between = [(point % snapshots + longest(config)) * batch + alone * evaluation for point in starts_between(config)]
    gradients = along.steps + 2 * (along.steps // along.every + 1)
    lines = 2 * config.fixed_batch.points * (config.fixed_batch.steps + 1)
    fixed = 2 * config.fixed_batch.steps + FORWARD * lines
    trip = config.side_trips.two_point_windows
    away = [(trip[-1] + sum((point + look) % snapshots for look in [0, *trip])) * batch for point in points]
    pairs = seeds * len(points)
    return {
        "burn_in": [float(steps * batch)] * seeds,
        "branch": [float(sum(point % snapshots for point in points) * batch)] * seeds,
        "single_step": [FORWARD * sweep_cost(config)] * pairs,
        "side_trips": [trip_steps(config) * batch + scored * evaluation] * pairs + between * seeds,
        "fixed_batch": [fixed * batch] * seeds * len(list(pairwise(points))),
        "divergence": [float(work) for work in away] * seeds,
        "alignment": [2.0 * gradients * batch] * pairs,
    }


def makespan(work: Sequence[float], workers: int) -> float:
    """Work of the busiest worker when the costliest unit that is left goes to the first worker that is free."""
    busy = [0.0] * workers
    for unit in sorted(work, reverse=True):
        heapq.heapreplace(busy, busy[0] + unit)
    return max(busy)


def state_bytes(config: Config) -> int:
    """Size of the file of a training state: weights, momentum, BatchNorm buffers."""
    _, _, channels, classes = DATASETS[config.data.name]
    settings = config.model
    model = build_model(
        settings.name, width=settings.width, stem=settings.stem, channels=channels, classes=classes, seed=0
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_state(initial_state(model), path)
        return path.stat().st_size


def storage(config: Config) -> dict[str, int]:
    """Bytes of what grows with the settings: packed pictures, snapshots, branch points."""
    training, validation, channels, _ = DATASETS[config.data.name]
    burn_in, state, seeds = config.burn_in, state_bytes(config), len(config.seeds)
    snapshots = len({*range(0, burn_in.steps, burn_in.snapshot_every), burn_in.steps})
    return {
        "pictures": (training + validation) * (channels * config.data.packed_side**2 + LABEL_BYTES),
        "snapshots": seeds * snapshots * state,
        "branch points": seeds * len(config.branch.points) * state,
    }


def _shown(size: float) -> str:
    name, divisor = next(((name, d) for name, d in UNITS if size >= d), UNITS[-1])
    return f"{size / divisor:.3g} {name}"


def table(configs: Sequence[Config], workers: Sequence[int] = WORKERS) -> Iterator[str]:
    """Lines of a Markdown table, one row a variant."""
    columns = ["variant", "units", "work", *(f"on {n}" for n in workers), "one state"]
    columns += ["pictures", "snapshots", "branch points", "cache"]
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for config in configs:
        stages, sizes = units(config), storage(config)
        spans = [sum(makespan(work, n) for work in stages.values()) for n in workers]
        cells = [config.variant, str(sum(map(len, stages.values()))), f"{sum(map(sum, stages.values())) / 1e6:.3g} M"]
        cells += [f"{span / 1e6:.3g} M" for span in spans]
        cells += [_shown(size) for size in (state_bytes(config), *sizes.values(), sum(sizes.values()))]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all of params.yaml unless given")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    options = parser.parse_args()
    params = load_params(Path("params.yaml"))
    configs = [resolve(params, name) for name in options.variants or params.variants]
    sys.stdout.write("".join(f"{line}\n" for line in table(configs, options.workers)))


if __name__ == "__main__":
    main()
