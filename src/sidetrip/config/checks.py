"""The checks of a whole configuration: every value within its limit, and what has to fit together.

Nothing here needs torch or the data: what only those can tell (does the folder hold enough pictures,
is there such a device) is checked by the stage that first sees them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from sidetrip.config.errors import require
from sidetrip.config.known import KNOWN_DATASETS, SOURCES
from sidetrip.config.limits import Choice, Limit
from sidetrip.config.schema import Config

MOST_MATRIX_ENTRIES = 10**8  # of the analytic model's matrices, held at once: 0.8 GB


def check(config: Config) -> None:
    """Check a configuration; raise ConfigError at the first thing wrong."""
    for key, value, limit in leaves(config):
        if limit is not None and (fault := limit.fault(value)):
            require(False, key, *fault)
    _check_data(config)
    _check_trips(config)
    _check_runtime(config)
    for name, fits in OF_EXPERIMENTS.items():
        if name not in config.left_out:
            fits(config)
    if config.runtime.device == "cpu":
        require(config.model.precision != "tf32", "model.precision", "tf32", "a CPU has none; use fp32 or bf16")
    if SOURCES[config.data.source].names:
        known = KNOWN_DATASETS[config.data.name]
        check_samples(config, known.training_pictures, known.validation_pictures)


def leaves(section: Any, prefix: str = "") -> Iterator[tuple[str, Any, Limit | None]]:
    """Dotted key, value and limit of every setting."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value, field.metadata["limit"]


def _check_data(config: Config) -> None:
    data = config.data
    names = SOURCES[data.source].names
    if names and (fault := Choice(names).fault(data.name)):
        require(False, "data.name", fault[0], f"{fault[1]} with data.source = {data.source}")
    if data.source == "embedded":
        require(data.size == 14, "data.size", data.size, "the embedded pictures are 14 × 14; set 14, or use a folder")
        require(data.packed_side == 14, "data.stored", data.stored, "the embedded pictures are 14 × 14; set 0")
    require(
        data.source != "folder" or PurePath(data.train_split) != PurePath(data.validation_split),
        "data.validation_split",
        data.validation_split,
        "training and validation need different folders",
    )
    require(
        data.packed_side >= data.size,
        "data.stored",
        data.stored,
        f"less than the {data.size} pixels of data.size; raise it, or set 0 for those",
    )
    require(
        not (data.crop and data.shift),
        "data.crop",
        data.crop,
        f"random crops are instead of moves (data.shift = {data.shift}); set one of the two to 0",
    )
    require(data.shift < data.size, "data.shift", data.shift, f"use less than the {data.size} pixels of data.size")


def _check_trips(config: Config) -> None:
    steps, last, trips = config.burn_in.steps, config.branch.points[-1], config.side_trips
    require(
        last <= steps, "branch.points", last, f"beyond the burn-in of {steps} steps; lower it or raise burn_in.steps"
    )
    require(
        not set(config.branch.early) & set(config.branch.points),
        "branch.early",
        config.branch.early,
        "a step is either early or late; take it out of one of the two lists",
    )
    require(
        max(config.branch.early, default=0) < config.branch.points[0],
        "branch.early",
        config.branch.early,
        f"must come before the first late one ({config.branch.points[0]})",
    )
    span = (trips.looks - 1) * trips.look_every
    shortest = min(trips.windows[-1], trips.two_point_windows[-1], trips.ema_steps)
    require(
        span < shortest,
        "side_trips.looks",
        trips.looks,
        f"{trips.look_every} steps apart they begin before the shortest of the widest windows ({shortest}); "
        "use fewer, or lower side_trips.look_every",
    )
    _check_room(config, "side_trips.windows", trips.windows[-1])
    _check_room(config, "side_trips.two_point_windows", trips.two_point_windows[-1])
    _check_room(config, "side_trips.ema_steps", trips.ema_steps)
    require(trips.every <= steps, "side_trips.every", trips.every, f"use at most burn_in.steps ({steps})")


def _check_room(config: Config, key: str, length: int) -> None:
    steps, last = config.burn_in.steps, config.branch.points[-1]
    require(
        length <= steps - last,
        key,
        length,
        f"longer than the {steps - last} steps between the last branch point ({last}) and the end of the run "
        f"({steps}); shorten it, branch earlier or raise burn_in.steps",
    )


def _check_alignment(config: Config) -> None:
    steps, every = config.alignment.steps, config.alignment.every
    _check_room(config, "alignment.steps", steps)
    require(every <= steps, "alignment.every", every, f"use at most alignment.steps ({steps})")


def _check_forecast(config: Config) -> None:
    settings, burn_in = config.forecast, config.burn_in
    for window in settings.windows:
        require(
            window % burn_in.snapshot_every == 0,
            "forecast.windows",
            window,
            f"use a multiple of burn_in.snapshot_every ({burn_in.snapshot_every}): a snapshot lies at either end",
        )
    room = burn_in.steps - settings.begins[-1]
    require(
        settings.windows[-1] <= room,
        "forecast.windows",
        settings.windows[-1],
        f"longer than the {room} steps between the last cool-down's beginning ({settings.begins[-1]}) and the end of "
        f"the run ({burn_in.steps}); shorten it, begin earlier or raise burn_in.steps",
    )
    for intervals in settings.intervals:
        require(
            settings.windows[-1] % intervals == 0,
            "forecast.intervals",
            intervals,
            f"does not divide the widest of forecast.windows ({settings.windows[-1]}); use a divisor of it",
        )


def _check_runtime(config: Config) -> None:
    runtime, batch_size = config.runtime, config.burn_in.batch_size
    require(
        not (runtime.dask_address and runtime.dask_scheduler_file),
        "runtime.dask_scheduler_file",
        runtime.dask_scheduler_file,
        "runtime.dask_address is set as well; set one of the two",
    )
    require(
        runtime.processes == 1 or runtime.executor == "processes",
        "runtime.processes",
        runtime.processes,
        f"runs go over one process each with runtime.executor = {runtime.executor}; use 1, or the executor processes",
    )
    require(
        batch_size % runtime.processes == 0,
        "runtime.processes",
        runtime.processes,
        f"burn_in.batch_size ({batch_size}) is not divisible by it; use a divisor, or another batch size",
    )


def _check_single_step(config: Config) -> None:
    settings, own = config.single_step, config.burn_in.batch_size
    require(
        own in settings.batch_sizes,
        "single_step.batch_sizes",
        settings.batch_sizes,
        f"burn_in.batch_size ({own}) is to be one of them: verdicts are taken there",
    )
    for size in settings.batch_sizes:
        require(
            size <= settings.chunk or size % settings.chunk == 0,
            "single_step.batch_sizes",
            size,
            f"sizes above single_step.chunk ({settings.chunk}) must be multiples of it",
        )
    require(
        settings.zoom < settings.widest,
        "single_step.zoom",
        settings.zoom,
        f"must be below single_step.widest ({settings.widest:g})",
    )


def _check_quadratic(config: Config) -> None:
    model = config.quadratic
    require(
        model.replicas % model.groups == 0,
        "quadratic.replicas",
        model.replicas,
        f"use a multiple of quadratic.groups ({model.groups})",
    )
    require(
        model.replicas * model.dimension**2 <= MOST_MATRIX_ENTRIES,
        "quadratic.dimension",
        model.dimension,
        f"its square times quadratic.replicas ({model.replicas}) must be at most {MOST_MATRIX_ENTRIES}",
    )
    require(model.slow < model.fast, "quadratic.slow", model.slow, f"must be below quadratic.fast ({model.fast:g})")
    require(
        model.small_rate < model.large_rate,
        "quadratic.small_rate",
        model.small_rate,
        f"must be below quadratic.large_rate ({model.large_rate:g})",
    )
    require(
        model.large_rate * model.fast < 2,
        "quadratic.large_rate",
        model.large_rate,
        f"unstable: times quadratic.fast ({model.fast:g}) it must be below 2",
    )
    require(model.every <= model.steps, "quadratic.every", model.every, f"use at most quadratic.steps ({model.steps})")


# What has to fit together for an experiment; of one that a variant leaves out, nothing has to.
OF_EXPERIMENTS = {
    "single_step": _check_single_step,
    "alignment": _check_alignment,
    "quadratic": _check_quadratic,
    "forecast": _check_forecast,
}


def check_samples(config: Config, training_pictures: int, validation_pictures: int) -> None:
    """Check what depends on how many pictures there are."""
    for key in ("train_samples", "recalibration_samples"):
        value = getattr(config.evaluation, key)
        remedy = f"the training split has {training_pictures} pictures; lower it"
        require(value <= training_pictures, f"evaluation.{key}", value, remedy)
    require(
        2 * config.burn_in.batch_size <= training_pictures,
        "burn_in.batch_size",
        config.burn_in.batch_size,
        f"two batches, own and held out, exceed the {training_pictures} training pictures; lower it",
    )
    own, held_out = config.single_step.own_batches, config.single_step.held_out_batches
    for size in () if "single_step" in config.left_out else config.single_step.batch_sizes:
        require(
            own * size + held_out * min(size, config.single_step.chunk) <= training_pictures,
            "single_step.batch_sizes",
            size,
            f"{held_out} held-out and {own} own batches exceed the {training_pictures} training pictures; lower one",
        )
    require(
        config.evaluation.validation_samples <= validation_pictures,
        "evaluation.validation_samples",
        config.evaluation.validation_samples,
        f"the validation split has {validation_pictures} pictures; lower it, or set 0 for all",
    )
