"""Typed configuration of every stage: the schema, the merge of base with a variant, the checks.

`configure` resolves a variant once and writes it to reports/<variant>/config.yaml; every later stage
is a Hydra app on that file. An unknown key, a wrong type, a hole or an impossible value is one line
that names the key, the value and what is allowed, before anything is computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

DATASETS = ("fashion_mnist", "cifar10", "cifar100")
CLASSES = {"fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
TRAINING_PICTURES = {"fashion_mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000}


@dataclass
class Data:
    """Which pictures, and how they are augmented in training."""

    source: str = MISSING  # embedded | torchvision | folder
    name: str = MISSING  # fashion_mnist | cifar10 | cifar100; for a folder, any name
    root: str = MISSING  # folder that holds (or receives) the files; not used by embedded
    train_split: str = MISSING  # folder source: name of the training split's folder
    validation_split: str = MISSING
    size: int = MISSING  # side of the square pictures in pixels
    shift: int = MISSING  # training pictures are moved by up to this many pixels each way
    flip: bool = MISSING  # and mirrored left to right with probability 1/2


@dataclass
class Model:
    """Which network."""

    name: str = MISSING
    width: int = MISSING  # channels of the first stage (resnet8, resnet20)
    stem: str = MISSING  # cifar | imagenet (torchvision's resnet18/34/50)
    precision: str = MISSING  # fp32 | tf32 | bf16


@dataclass
class BurnIn:
    """The main trajectory."""

    steps: int = MISSING
    batch_size: int = MISSING
    rate: float = MISSING
    schedule: str = MISSING  # constant | linear | cosine
    momentum: float = MISSING
    weight_decay: float = MISSING
    snapshot_every: int = MISSING  # steps between the snapshots that branch points are replayed from


@dataclass
class Branch:
    """Where the run is branched."""

    points: list[int] = MISSING


@dataclass
class Evaluation:
    """What every compared model is scored on."""

    batch_size: int = MISSING
    train_samples: int = MISSING  # a fixed part of the training split, without augmentation
    recalibration_samples: int = MISSING  # training samples behind every BatchNorm statistic


@dataclass
class SingleStep:
    """Loss along one gradient step."""

    batch_sizes: list[int] = MISSING
    held_out_batches: int = MISSING
    chunk: int = MISSING  # most samples that go through the network at once; larger batches accumulate
    points: int = MISSING  # step sizes on each of the two ranges
    widest: float = MISSING  # largest step size of the wide range
    zoom: float = MISSING  # largest step size of the zoomed range


@dataclass
class SideTrips:
    """Averages against trips with the equivalent schedule."""

    windows: list[int] = MISSING  # steps, for SWA and two-point
    ema_steps: int = MISSING  # steps of the EMA trips
    ema_newest: float = MISSING  # δ, weight of the newest iterate
    every: int = MISSING  # steps between evaluations along the main trajectory


@dataclass
class Quadratic:
    """The analytic model; no data."""

    replicas: int = MISSING  # independent trajectories, simulated at once
    groups: int = MISSING  # equal parts of them, whose spread gives the intervals
    dimension: int = MISSING  # Lemma 1, drag and drift
    rates: list[float] = MISSING  # Lemma 1
    kernels: int = MISSING  # random kernels of Lemma 2
    window: int = MISSING  # longest kernel of Lemma 2; Appendix A
    covariance_rate: float = MISSING  # Appendix A
    fast: float = MISSING  # curvatures of the two-scale system
    slow: float = MISSING
    large_rate: float = MISSING
    small_rate: float = MISSING
    ema_steps: int = MISSING  # one over the newest iterate's weight
    start: float = MISSING  # both coordinates at step 0
    steps: int = MISSING
    every: int = MISSING  # steps between rows of the table


@dataclass
class FixedBatch:
    """Steps on one fixed batch from two points of the main trajectory."""

    steps: int = MISSING
    points: int = MISSING  # on each line between the two runs, its ends included
    rate: float = MISSING  # step size; 0: half the best one of the single-step sweep at each branch point


@dataclass
class Alignment:
    """Gradients of a fixed batch along side trips."""

    steps: int = MISSING
    every: int = MISSING  # steps between looks


@dataclass
class Divergence:
    """Distances in weight space along side trips."""

    steps: int = MISSING
    every: int = MISSING  # steps between looks


@dataclass
class Claims:
    """Thresholds of the verdicts and the bootstrap behind their intervals."""

    bootstrap_samples: int = MISSING
    confidence: float = MISSING
    single_step_floor: float = MISSING
    single_step_gap: float = MISSING
    single_step_rate: float = MISSING
    quadratic_own: float = MISSING
    fixed_batch_floor: float = MISSING
    fixed_batch_basin: float = MISSING
    average_is_schedule: float = MISSING
    midpoint_tracks_half_rate: float = MISSING
    midpoint_distance: float = MISSING
    gradient_smoothing_steps: int = MISSING
    fixed_gradient_norm: float = MISSING
    fixed_gradient_cosine: float = MISSING
    fixed_gradient_direction: float = MISSING
    batch_gradients_orthogonal: float = MISSING
    distance_rank: float = MISSING
    distance_saturates: float = MISSING
    identity_error: float = MISSING


@dataclass
class Runtime:
    """Where the work runs; never changes a result, so no stage tracks it."""

    device: str = MISSING  # auto | cpu | cuda | cuda:N
    workers: int = MISSING  # processes; 0: one a core, or one a GPU


@dataclass
class Config:
    """Everything a variant is made of."""

    variant: str = MISSING
    seeds: list[int] = MISSING
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    burn_in: BurnIn = field(default_factory=BurnIn)
    branch: Branch = field(default_factory=Branch)
    evaluation: Evaluation = field(default_factory=Evaluation)
    single_step: SingleStep = field(default_factory=SingleStep)
    side_trips: SideTrips = field(default_factory=SideTrips)
    quadratic: Quadratic = field(default_factory=Quadratic)
    fixed_batch: FixedBatch = field(default_factory=FixedBatch)
    divergence: Divergence = field(default_factory=Divergence)
    alignment: Alignment = field(default_factory=Alignment)
    claims: Claims = field(default_factory=Claims)
    runtime: Runtime = field(default_factory=Runtime)


ConfigStore.instance().store(name="schema", node=Config)

# Head of every resolved config: no outputs/ folder, no .hydra/, no log files, types checked.
HYDRA: dict[str, Any] = {
    "defaults": [
        "schema",
        "_self_",
        {"override hydra/job_logging": "stdout"},
        {"override hydra/hydra_logging": "none"},
    ],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}


class ConfigError(ValueError):
    """A setting that cannot be run; the message is one line with key, value and remedy."""


def resolve(params: DictConfig, variant: str) -> Config:
    """Merge `base` with one variant and check the result.

    Parameters
    ----------
    params : DictConfig
        Contents of params.yaml: `active`, `base`, `variants`.
    variant : str
        Name of the variant.

    Raises
    ------
    ConfigError
        On the first thing wrong.
    """
    if not re.fullmatch(r"[a-z0-9_]+", variant):
        raise ConfigError(f"variant name {variant!r}: use lower-case letters, digits and underscores only")
    for key in map(str, params):
        if key not in ("active", "base", "variants"):
            raise ConfigError(f"{key}: unknown key in params.yaml; allowed are active, base, variants")
    variants = params.get("variants") or {}
    if variant not in variants:
        raise ConfigError(f"variants.{variant}: not in params.yaml; there are {', '.join(map(str, variants))}")
    merged = OmegaConf.structured(Config)
    for where, values in (
        (f"variants.{variant}", {"variant": variant}),
        ("base", params.get("base") or {}),
        (f"variants.{variant}", variants[variant] or {}),
    ):
        try:
            merged = OmegaConf.merge(merged, values)
        except (ConfigKeyError, ConfigAttributeError) as error:
            raise ConfigError(_unknown_key(where, str(error.full_key or ""), merged)) from error
        except (ValidationError, OmegaConfBaseException) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ConfigError(f"{where}.{error.full_key}: {reason}") from error
    if holes := OmegaConf.missing_keys(merged):
        raise ConfigError(f"variant {variant}: {', '.join(sorted(holes))} not set; set it in base or in the variant")
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    check(config)
    return config


def _unknown_key(where: str, key: str, schema: Any) -> str:
    parent, _, _ = key.rpartition(".")
    node = OmegaConf.select(schema, parent) if parent else schema
    allowed = ", ".join(map(str, node)) if isinstance(node, DictConfig) else "none"
    return f"{where}.{key}: unknown key; allowed in {parent or 'a variant'} are {allowed}"


def _require(good: bool, key: str, value: object, remedy: str) -> None:
    if not good:
        raise ConfigError(f"{key} = {value}: {remedy}")


def _choice(key: str, value: str, allowed: Sequence[str]) -> None:
    _require(value in allowed, key, value, f"use one of {', '.join(allowed)}")


def check(config: Config) -> None:
    """Check ranges and what must fit together; raise ConfigError at the first thing wrong.

    Nothing here needs torch or the data: what only those can tell (does the folder hold enough
    pictures, is there such a device) is checked by the stage that first sees them.
    """
    data, model, burn_in, evaluation = config.data, config.model, config.burn_in, config.evaluation
    single_step, trips, claims = config.single_step, config.side_trips, config.claims
    _require(len(config.seeds) > 0, "seeds", config.seeds, "give at least one")
    _require(len(set(config.seeds)) == len(config.seeds), "seeds", config.seeds, "each seed once")
    _require(min(config.seeds) >= 0, "seeds", config.seeds, "seeds are whole numbers from 0")

    _choice("data.source", data.source, ("embedded", "torchvision", "folder"))
    if data.source == "embedded":
        _choice("data.name", data.name, ("fashion_mnist",))
        _require(data.size == 14, "data.size", data.size, "the embedded pictures are 14 × 14; set 14, or use a folder")
    if data.source == "torchvision":
        _choice("data.name", data.name, DATASETS)
    if data.source == "folder":
        _require(bool(data.root), "data.root", repr(data.root), "name the folder that holds the splits")
        _require(
            data.train_split != data.validation_split,
            "data.validation_split",
            data.validation_split,
            "training and validation need different folders",
        )
    _require(4 <= data.size <= 1024, "data.size", data.size, "use 4 to 1024 pixels")
    _require(0 <= data.shift < data.size, "data.shift", data.shift, f"use 0 to {data.size - 1} pixels")

    _require(bool(re.fullmatch(r"[a-z0-9_]+", model.name)), "model.name", model.name, "not the name of a model")
    _require(1 <= model.width <= 1024, "model.width", model.width, "use 1 to 1024 channels")
    _choice("model.stem", model.stem, ("cifar", "imagenet"))
    _choice("model.precision", model.precision, ("fp32", "tf32", "bf16"))

    _require(burn_in.steps >= 1, "burn_in.steps", burn_in.steps, "train for at least 1 step")
    _require(burn_in.batch_size >= 2, "burn_in.batch_size", burn_in.batch_size, "BatchNorm needs at least 2 samples")
    _require(0 < burn_in.rate < 100, "burn_in.rate", burn_in.rate, "use a learning rate above 0 and below 100")
    _choice("burn_in.schedule", burn_in.schedule, ("constant", "linear", "cosine"))
    _require(0 <= burn_in.momentum < 1, "burn_in.momentum", burn_in.momentum, "use 0 or more and less than 1")
    _require(0 <= burn_in.weight_decay < 1, "burn_in.weight_decay", burn_in.weight_decay, "use 0 or more, less than 1")
    _require(burn_in.snapshot_every >= 1, "burn_in.snapshot_every", burn_in.snapshot_every, "use at least 1 step")

    points = config.branch.points
    _require(len(points) > 0, "branch.points", points, "give at least one step")
    _require(
        sorted(set(points)) == list(points), "branch.points", points, "list the steps in ascending order, each once"
    )
    _require(points[0] >= 0, "branch.points", points[0], "a branch point is a step of the burn-in, from 0")
    _require(
        points[-1] <= burn_in.steps,
        "branch.points",
        points[-1],
        f"beyond the burn-in of {burn_in.steps} steps; lower it or raise burn_in.steps",
    )

    windows = trips.windows
    _require(len(windows) > 0, "side_trips.windows", windows, "give at least one window in steps")
    _require(
        sorted(set(windows)) == list(windows), "side_trips.windows", windows, "list them in ascending order, each once"
    )
    _require(windows[0] >= 1, "side_trips.windows", windows[0], "a window is at least 1 step")
    room = burn_in.steps - points[-1]
    for key, window in (
        ("side_trips.windows", windows[-1]),
        ("side_trips.ema_steps", trips.ema_steps),
        ("divergence.steps", config.divergence.steps),
        ("alignment.steps", config.alignment.steps),
    ):
        _require(
            window <= room,
            key,
            window,
            f"longer than the {room} steps between the last branch point ({points[-1]}) and the end of the run "
            f"({burn_in.steps}); shorten it, branch earlier or raise burn_in.steps",
        )
    _require(trips.ema_steps >= 1, "side_trips.ema_steps", trips.ema_steps, "use at least 1 step")
    _require(0 < trips.ema_newest <= 1, "side_trips.ema_newest", trips.ema_newest, "use more than 0 and at most 1")
    _require(trips.every >= 1, "side_trips.every", trips.every, "use at least 1 step")
    for name, section in (("divergence", config.divergence), ("alignment", config.alignment)):
        _require(section.steps >= 1, f"{name}.steps", section.steps, "use at least 1 step")
        _require(1 <= section.every <= section.steps, f"{name}.every", section.every, f"use 1 to {section.steps} steps")
    fixed = config.fixed_batch
    _require(fixed.steps >= 3, "fixed_batch.steps", fixed.steps, "use at least 3: the third step is judged")
    _require(fixed.points >= 3, "fixed_batch.points", fixed.points, "use at least 3: the ends and one between")
    _require(0 <= fixed.rate < 100, "fixed_batch.rate", fixed.rate, "use a step size, or 0 for the default")

    _require(evaluation.batch_size >= 1, "evaluation.batch_size", evaluation.batch_size, "use at least 1")
    for key in ("train_samples", "recalibration_samples"):
        _require(getattr(evaluation, key) >= 2, f"evaluation.{key}", getattr(evaluation, key), "use at least 2 samples")

    sizes = single_step.batch_sizes
    _require(len(sizes) > 0, "single_step.batch_sizes", sizes, "give at least one batch size")
    _require(
        sorted(set(sizes)) == list(sizes), "single_step.batch_sizes", sizes, "list them in ascending order, each once"
    )
    _require(sizes[0] >= 2, "single_step.batch_sizes", sizes[0], "BatchNorm needs at least 2 samples")
    held_out = single_step.held_out_batches
    _require(held_out >= 10, "single_step.held_out_batches", held_out, "use at least 10")
    _require(single_step.chunk >= 2, "single_step.chunk", single_step.chunk, "BatchNorm needs at least 2 samples")
    for size in sizes:
        _require(
            size <= single_step.chunk or size % single_step.chunk == 0,
            "single_step.batch_sizes",
            size,
            f"sizes above single_step.chunk ({single_step.chunk}) must be multiples of it",
        )
    _require(single_step.points >= 5, "single_step.points", single_step.points, "use at least 5 step sizes")
    _require(single_step.zoom > 0, "single_step.zoom", single_step.zoom, "use a step size above 0")
    _require(
        single_step.zoom < single_step.widest,
        "single_step.zoom",
        single_step.zoom,
        f"must be below single_step.widest ({single_step.widest:g})",
    )

    _check_quadratic(config.quadratic)
    _require(claims.bootstrap_samples >= 100, "claims.bootstrap_samples", claims.bootstrap_samples, "use at least 100")
    _require(0 < claims.confidence < 1, "claims.confidence", claims.confidence, "use a share between 0 and 1")

    _require(
        bool(re.fullmatch(r"auto|cpu|cuda(:\d+)?", config.runtime.device)),
        "runtime.device",
        config.runtime.device,
        "use auto, cpu, cuda or cuda:N",
    )
    _require(config.runtime.workers >= 0, "runtime.workers", config.runtime.workers, "use 0 for all, or a number")
    if config.runtime.device == "cpu":
        _require(model.precision != "tf32", "model.precision", "tf32", "a CPU has none; use fp32 or bf16")
    if data.source != "folder":
        check_samples(config, TRAINING_PICTURES[data.name])


def _check_quadratic(model: Quadratic) -> None:
    _require(model.groups >= 2, "quadratic.groups", model.groups, "an interval needs at least 2")
    _require(
        model.replicas >= model.groups and model.replicas % model.groups == 0,
        "quadratic.replicas",
        model.replicas,
        f"use a multiple of quadratic.groups ({model.groups})",
    )
    for key in ("dimension", "kernels", "window", "ema_steps", "steps", "every"):
        _require(getattr(model, key) >= 1, f"quadratic.{key}", getattr(model, key), "use at least 1")
    _require(model.window >= 4, "quadratic.window", model.window, "use at least 4 steps")
    _require(len(set(model.rates)) >= 2, "quadratic.rates", model.rates, "a slope needs at least two different rates")
    _require(min(model.rates) > 0, "quadratic.rates", min(model.rates), "use rates above 0")
    _require(
        max(model.rates) < 0.5, "quadratic.rates", max(model.rates), "use rates below 0.5: the model must be stable"
    )
    _require(
        0 < model.covariance_rate < 1, "quadratic.covariance_rate", model.covariance_rate, "use a rate between 0 and 1"
    )
    _require(0 < model.slow < model.fast, "quadratic.slow", model.slow, f"must lie between 0 and fast ({model.fast:g})")
    _require(
        0 < model.small_rate < model.large_rate,
        "quadratic.small_rate",
        model.small_rate,
        f"must lie between 0 and quadratic.large_rate ({model.large_rate:g})",
    )
    _require(
        model.large_rate * model.fast < 2,
        "quadratic.large_rate",
        model.large_rate,
        f"unstable: times quadratic.fast ({model.fast:g}) it must be below 2",
    )
    _require(model.start > 0, "quadratic.start", model.start, "start above 0")


def check_samples(config: Config, training_pictures: int) -> None:
    """Check what depends on how many training pictures there are."""
    remedy = f"the training split has {training_pictures} pictures; lower it"
    sizes = {
        "burn_in.batch_size": config.burn_in.batch_size,
        "evaluation.train_samples": config.evaluation.train_samples,
        "evaluation.recalibration_samples": config.evaluation.recalibration_samples,
    }
    for key, value in sizes.items():
        _require(value <= training_pictures, key, value, remedy)
    held_out = config.single_step.held_out_batches
    for size in config.single_step.batch_sizes:
        _require(
            size + held_out * min(size, config.single_step.chunk) <= training_pictures,
            "single_step.batch_sizes",
            size,
            f"{held_out} held-out batches and the own one exceed the {training_pictures} training pictures; lower one",
        )


def save_config(config: Config, path: Path) -> None:
    """Write a resolved configuration as the Hydra config of the later stages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    OmegaConf.save({**HYDRA, **OmegaConf.to_container(OmegaConf.structured(config))}, path)  # type: ignore[dict-item]


def typed(cfg: DictConfig) -> Config:
    """Turn what Hydra hands to a stage into a checked Config (overrides on the command line included)."""
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    check(config)
    return config
