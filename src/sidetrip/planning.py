"""What a variant costs before it runs: units, work and storage, by arithmetic on its settings.

    python -m sidetrip.planning [--workers N ...] [VARIANT ...]
    python -m sidetrip.planning --speed SAMPLES_A_SECOND [VARIANT ...]     by stage, with minutes

Work is counted in training samples: pictures that go forward and backward through the network once. One that
only goes forward counts a third. Time is work over the measured samples a second of one worker.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidetrip.config import Config, ConfigError, load_params, resolve
from sidetrip.config.known import KNOWN_DATASETS, DatasetFacts
from sidetrip.console import command
from sidetrip.data.packed import read_facts
from sidetrip.engine.models import build_model
from sidetrip.engine.state import initial_state, save_state
from sidetrip.engine.units import branch_points, points_of, replay_steps
from sidetrip.experiments.cases import Stretch, cases, controls, looks, stretch_steps, trip_steps, widest
from sidetrip.experiments.cool_downs import scored_of, steps_of
from sidetrip.experiments.looks import alignment_looks, divergence_steps
from sidetrip.experiments.sweep import sweep_cost
from sidetrip.files import FileError
from sidetrip.runtime.experiment import experiments

FORWARD = 1 / 3  # a backward pass takes about twice a forward pass
LINE_SEARCH = 20  # forward passes of a line search on the fixed batch, about
LABEL_BYTES = 8 + 4  # and the checksum
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
WORKERS = (1, 2, 8, 64)


@dataclass(frozen=True)
class Work:
    """Work of a unit or a stage.

    Attributes
    ----------
    trained : float
        Samples that go forward and backward through the network.
    scored : float
        Samples that only go forward.
    """

    trained: float
    scored: float = 0.0

    @property
    def total(self) -> float:
        """In training samples."""
        return self.trained + FORWARD * self.scored

    def __add__(self, other: Work) -> Work:
        return Work(self.trained + other.trained, self.scored + other.scored)


def dataset(config: Config) -> DatasetFacts:
    """What is known of a variant's pictures: by their name, or because they have been packed.

    Raises
    ------
    ConfigError
        If neither is so.
    """
    if config.data.name in KNOWN_DATASETS:
        return KNOWN_DATASETS[config.data.name]
    try:
        facts = read_facts(Path("runs") / config.variant / "prepare_data")
    except FileError as error:
        remedy = f"how many pictures it has is not known yet; run `dvc repro prepare_data@{config.variant}`"
        raise ConfigError(f"data.name = {config.data.name}: {remedy}") from error
    return DatasetFacts(facts.train_samples, facts.validation_samples, facts.channels, facts.classes)


def _evaluation(config: Config) -> int:
    """Samples behind the score of one model: recalibration, part of the training split, all or part of validation."""
    settings = config.evaluation
    validation = settings.validation_samples or dataset(config).validation_pictures
    return settings.recalibration_samples + settings.train_samples + validation


def work_of(config: Config) -> dict[str, Callable[[Any], Work]]:
    """Work of a unit of each experiment that trains or evaluates."""
    burn_in, evaluation = config.burn_in, _evaluation(config)
    validated = evaluation - config.evaluation.train_samples
    batch, compared, best = burn_in.batch_size, cases(config), widest(cases(config))
    on_batches = config.evaluation.train_samples // batch * batch
    wrong = len(controls(config))
    looked_at = sum(len(looks(config, case)) for case in compared)
    scored = (len(looks(config)) + 2 * looked_at + wrong) * evaluation + len(best) * on_batches
    window = (len(looks(config)) + len(best)) * evaluation
    gradients = config.alignment.steps + (1 + config.alignment.fixed_batches) * len(alignment_looks(config))
    lines = 2 * config.fixed_batch.points * (config.fixed_batch.steps + 1)
    searches = 2 * LINE_SEARCH * config.fixed_batch.steps

    def along(stretch: Stretch) -> Work:
        steps = replay_steps(config, stretch.starts[:1]) + stretch_steps(config, stretch)
        return Work(steps * batch, len(stretch.starts) * window)

    return {
        "burn_in": lambda run: Work(burn_in.steps * batch),
        "branch": lambda run: Work(replay_steps(config, points_of(config, run.seed)) * batch),
        "running_averages": along,
        "single_step": lambda point: Work(0.0, sweep_cost(config, point)),
        "side_trips": lambda point: Work(trip_steps(config) * batch, scored),
        "fixed_batch": lambda point: Work(4 * config.fixed_batch.steps * batch, (lines + searches) * batch),
        "divergence": lambda point: Work(divergence_steps(config, point) * batch),
        "alignment": lambda point: Work(2.0 * gradients * batch),
        "forecast": lambda unit: Work(steps_of(config, unit) * batch, scored_of(config, unit) * validated),
    }


def units(config: Config) -> dict[str, list[Work]]:
    """Work of every unit of every stage that trains or evaluates."""
    work = work_of(config)
    return {
        experiment.name: [work[experiment.name](unit) for unit in experiment.units_of(config)]
        for experiment in experiments()
        if experiment.name in work
    }


def stages(config: Config, samples_a_second: float) -> Iterator[str]:
    """Lines of a Markdown table of one variant, one row a stage, with the minutes of one worker of that speed."""
    yield f"| {config.variant} | units | training steps | scored samples | minutes |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    rows = {name: (len(found), sum(found, Work(0.0))) for name, found in units(config).items()}
    rows["all"] = sum(count for count, _ in rows.values()), sum((work for _, work in rows.values()), Work(0.0))
    for name, (count, work) in rows.items():
        steps, minutes = work.trained / config.burn_in.batch_size, work.total / samples_a_second / 60
        yield f"| {name} | {count} | {steps:.0f} | {work.scored / 1e6:.3g} M | {minutes:.1f} |"
    for experiment in experiments():
        if experiment.network and experiment.name not in rows:  # one that was added without a record of its work
            yield f"| {experiment.name} | {len(experiment.units_of(config))} | not counted | | |"


def makespan(work: Sequence[float], workers: int) -> float:
    """Work of the busiest worker when the costliest unit that is left goes to the first worker that is free."""
    busy = [0.0] * workers
    for unit in sorted(work, reverse=True):
        heapq.heapreplace(busy, busy[0] + unit)
    return max(busy)


def state_bytes(config: Config) -> int:
    """Size of the file of a training state: weights, momentum, BatchNorm buffers."""
    known, settings = dataset(config), config.model
    model = build_model(
        settings.name,
        width=settings.width,
        stem=settings.stem,
        channels=known.channels,
        classes=known.classes,
        seed=0,
        size=config.data.size,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_state(initial_state(model), path)
        return path.stat().st_size


def storage(config: Config) -> dict[str, int]:
    """Bytes of what grows with the settings: packed pictures, snapshots, branch points."""
    known = dataset(config)
    pictures = known.training_pictures + known.validation_pictures
    burn_in, state, seeds = config.burn_in, state_bytes(config), len(config.seeds)
    snapshots = len({*range(0, burn_in.steps, burn_in.snapshot_every), burn_in.steps})
    return {
        "pictures": pictures * (known.channels * config.data.packed_side**2 + LABEL_BYTES),
        "snapshots": seeds * snapshots * state,
        "branch points": len(branch_points(config)) * state,
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
        sizes = storage(config)
        totals = [[work.total for work in found] for found in units(config).values()]
        spans = [sum(makespan(work, n) for work in totals) for n in workers]
        cells = [config.variant, str(sum(map(len, totals))), f"{sum(map(sum, totals)) / 1e6:.3g} M"]
        cells += [f"{span / 1e6:.3g} M" for span in spans]
        cells += [_shown(size) for size in (state_bytes(config), *sizes.values(), sum(sizes.values()))]
        yield f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all of params.yaml unless given")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--speed", type=float, help="training samples a second of one worker: a table of stages each")
    options = parser.parse_args(arguments)
    with command():
        params = load_params(Path("params.yaml"))
        configs = [resolve(params, name) for name in options.variants or params.variants]
        tables = (
            [stages(config, options.speed) for config in configs]
            if options.speed
            else [table(configs, options.workers)]
        )
        sys.stdout.write("\n".join("".join(f"{line}\n" for line in lines) for lines in tables))


if __name__ == "__main__":
    main()
