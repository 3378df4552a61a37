"""The checks across keys: what has to fit together.

Nothing here needs torch or the data: what only those can tell (does the folder hold enough pictures,
is there such a device) is checked by the stage that first sees them.
"""

from __future__ import annotations

import operator
from typing import Any

from sidetrip.config.errors import require
from sidetrip.config.known import KNOWN_DATASETS, SOURCES
from sidetrip.config.schema import Config, Data

MOST_MATRIX_ENTRIES = 10**8  # of the analytic model's matrices, held at once: 0.8 GB
RELATIONS = {
    "at most": operator.le,
    "less than": operator.lt,
    "a multiple of": lambda value, other: value % other == 0,
}
# Pairs of keys.
PAIRS = (
    ("branch.points", "at most", "burn_in.steps"),
    ("side_trips.every", "at most", "burn_in.steps"),
    ("single_step.zoom", "less than", "single_step.widest"),
    ("alignment.every", "at most", "alignment.steps"),
    ("quadratic.replicas", "a multiple of", "quadratic.groups"),
    ("quadratic.slow", "less than", "quadratic.fast"),
    ("quadratic.small_rate", "less than", "quadratic.large_rate"),
    ("quadratic.every", "at most", "quadratic.steps"),
    ("forecast.windows", "a multiple of", "burn_in.snapshot_every"),
    ("forecast.every", "a multiple of", "burn_in.snapshot_every"),
    ("forecast.begins", "a multiple of", "forecast.every"),
)


def check(config: Config) -> None:
    """Refuse the first thing that does not fit; of an experiment that a variant leaves out, nothing has to."""
    _check_data(config)
    for key, relation, other in PAIRS:
        if key.split(".")[0] not in config.left_out:
            (limit,) = _values(config, other)
            for value in _values(config, key):
                require(RELATIONS[relation](value, limit), key, value, f"use {relation} {other} ({limit:g})")
    _check_branch(config)
    _check_optimizer(config)
    _check_looks(config)
    _check_windows(config)
    for name, fits in OF_EXPERIMENTS.items():
        if name not in config.left_out:
            fits(config)
    _check_machine(config)
    if SOURCES[config.data.source].names and not config.data.is_text:
        known = KNOWN_DATASETS[config.data.name]
        check_samples(config, known.training_pictures, known.validation_pictures)


def _values(config: Config, key: str) -> tuple[Any, ...]:
    """The value of a key; of a list, every element."""
    value = operator.attrgetter(key)(config)
    return value if isinstance(value, tuple) else (value,)


def _check_data(config: Config) -> None:
    data, names = config.data, SOURCES[config.data.source].names
    remedy = f"use one of {', '.join(names)} with data.source = {data.source}"
    require(not names or data.name in names, "data.name", data.name, remedy)
    name = config.model.name
    require(name == "decoder" or not data.is_text, "model.name", name, "the data are a text; use decoder")
    require(name != "decoder" or data.is_text, "model.name", name, "these are pictures; use another, or a text")
    width, heads = config.model.width, config.model.heads
    if data.is_text:
        require(width % heads == 0, "model.width", width, f"use a multiple of model.heads ({heads})")
    else:
        _check_pictures(data)


def _check_pictures(data: Data) -> None:
    if data.source == "embedded":
        require(data.size == 14, "data.size", data.size, "the embedded pictures are 14 × 14; set 14, or use a folder")
        require(data.packed_side == 14, "data.stored", data.stored, "the embedded pictures are 14 × 14; set 0")
    other = data.source != "folder" or data.validation_split != data.train_split
    require(other, "data.validation_split", data.validation_split, "the folder of data.train_split; name another one")
    remedy = f"less than the {data.size} pixels of data.size; raise it, or set 0 for those"
    require(data.packed_side >= data.size, "data.stored", data.stored, remedy)
    remedy = f"random crops are instead of moves (data.shift = {data.shift}); set one of the two to 0"
    require(not (data.crop and data.shift), "data.crop", data.crop, remedy)
    require(data.shift < data.size, "data.shift", data.shift, f"use less than data.size ({data.size})")


def _check_optimizer(config: Config) -> None:
    momentum, warm_up, first = config.burn_in.optimizer.momentum, config.burn_in.warm_up, config.branch.steps[0]
    good = config.burn_in.optimizer.name != "nesterov" or momentum > 0
    require(good, "burn_in.optimizer.momentum", momentum, "use more than 0 with nesterov, or sgd")
    remedy = f"the rate still rises at the first branch point; use less than that ({first})"
    require(warm_up == 0 or warm_up < first, "burn_in.warm_up", warm_up, remedy)


def _check_branch(config: Config) -> None:
    early, points = config.branch.early, config.branch.points
    remedy = f"use steps less than the first of branch.points ({points[0]})"
    require(max(early, default=-1) < points[0], "branch.early", list(early), remedy)


def _check_looks(config: Config) -> None:
    trips = config.side_trips
    shortest = min(trips.windows[-1], trips.two_point_windows[-1], trips.ema_steps)
    remedy = (
        f"{trips.look_every} steps apart they begin before the shortest of the widest windows ({shortest}); "
        "use fewer, or lower side_trips.look_every"
    )
    require((trips.looks - 1) * trips.look_every < shortest, "side_trips.looks", trips.looks, remedy)


def _check_windows(config: Config) -> None:
    """Trips from the last branch point end within the run, whose stream and rates they follow."""
    steps, last = config.burn_in.steps, config.branch.points[-1]
    remedy = (
        f"longer than the {steps - last} steps between the last branch point ({last}) and the end of the run "
        f"({steps}); shorten it, branch earlier or raise burn_in.steps"
    )
    for key in ("side_trips.windows", "side_trips.two_point_windows", "side_trips.ema_steps", "alignment.steps"):
        if key.split(".")[0] not in config.left_out:
            length = max(_values(config, key))
            require(length <= steps - last, key, length, remedy)


def _check_forecast(config: Config) -> None:
    settings, steps = config.forecast, config.burn_in.steps
    widest, narrowest, first, last = settings.windows[-1], settings.windows[0], settings.begins[0], settings.begins[-1]
    remedy = (
        f"longer than the {steps - last} steps between the last cool-down's beginning ({last}) and the end of "
        f"the run ({steps}); shorten it, begin earlier or raise burn_in.steps"
    )
    require(narrowest <= steps - last, "forecast.windows", narrowest, remedy)
    remedy = f"longer than the {steps - first} steps that the run ({steps}) has after the first cool-down's beginning"
    require(widest <= steps - first, "forecast.windows", widest, f"{remedy} ({first}); shorten it")
    for intervals in settings.intervals:
        remedy = f"does not divide the widest of forecast.windows ({widest}); use a divisor of it"
        require(widest % intervals == 0, "forecast.intervals", intervals, remedy)


def _check_single_step(config: Config) -> None:
    settings, own = config.single_step, config.burn_in.batch_size
    remedy = f"add burn_in.batch_size ({own}): verdicts are taken there"
    require(own in settings.batch_sizes, "single_step.batch_sizes", list(settings.batch_sizes), remedy)
    for size in settings.batch_sizes:
        fits = size <= settings.chunk or size % settings.chunk == 0
        remedy = f"use a multiple of single_step.chunk ({settings.chunk}) above that"
        require(fits, "single_step.batch_sizes", size, remedy)


def _check_fixed_batch(config: Config) -> None:
    points = config.branch.points
    require(len(points) > 1, "branch.points", list(points), "list at least 2; fixed_batch compares neighbours")


def _check_quadratic(config: Config) -> None:
    model = config.quadratic
    remedy = f"its square times quadratic.replicas ({model.replicas}) must be at most {MOST_MATRIX_ENTRIES}; lower it"
    require(model.replicas * model.dimension**2 <= MOST_MATRIX_ENTRIES, "quadratic.dimension", model.dimension, remedy)
    remedy = f"unstable: times quadratic.fast ({model.fast:g}) it must be below 2; lower it"
    require(model.large_rate * model.fast < 2, "quadratic.large_rate", model.large_rate, remedy)


OF_EXPERIMENTS = {
    "single_step": _check_single_step,
    "fixed_batch": _check_fixed_batch,
    "quadratic": _check_quadratic,
    "forecast": _check_forecast,
}


def _check_machine(config: Config) -> None:
    runtime = config.runtime
    good = not (runtime.dask_address and runtime.dask_scheduler_file)
    remedy = "runtime.dask_address is set as well; set one of the two"
    require(good, "runtime.dask_scheduler_file", runtime.dask_scheduler_file, remedy)
    absent = runtime.device == "cpu" and config.model.precision == "tf32"
    require(not absent, "model.precision", config.model.precision, "a CPU has none; use fp32 or bf16")


def check_samples(config: Config, train_samples: int, validation_samples: int) -> None:
    """Check what depends on how many samples there are: pictures, or windows of a text."""
    evaluation, single_step, size = config.evaluation, config.single_step, config.burn_in.batch_size
    for key in ("train_samples", "recalibration_samples"):
        remedy = f"the training split has {train_samples} samples; lower it"
        value = getattr(evaluation, key)
        require(value <= train_samples, f"evaluation.{key}", value, remedy)
    remedy = f"two batches, own and held out, exceed the {train_samples} training samples; lower it, or add some"
    require(2 * size <= train_samples, "burn_in.batch_size", size, remedy)
    own, held_out = single_step.own_batches, single_step.held_out_batches
    for size in () if "single_step" in config.left_out else single_step.batch_sizes:
        needed = own * size + held_out * min(size, single_step.chunk)
        batches = f"{own} own and {held_out} held-out batches"
        remedy = f"{batches} exceed {train_samples} training samples; lower one, or add samples"
        require(needed <= train_samples, "single_step.batch_sizes", size, remedy)
    key, value = "evaluation.validation_samples", evaluation.validation_samples
    remedy = f"the validation split has {validation_samples} samples; lower it, or set 0 for all"
    require(value <= validation_samples, key, value, remedy)
