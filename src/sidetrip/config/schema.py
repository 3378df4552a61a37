"""Typed schema of a variant: every key with its type, the values it may take, and its meaning.

A field's description is what a message says beside the limit that was passed. What has to fit together across keys is
in `checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from sidetrip.config.known import KNOWN_DATASETS, SOURCES

# Built when first used: a stage needs the whole alone, whose parts are built with it.
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)
FOLDER = r"^[^/\p{C}]\P{C}*$"  # without characters that do not print
NumberT = TypeVar("NumberT", int, float)


def _different(values: Sequence[NumberT]) -> Sequence[NumberT]:
    if len(set(values)) < len(values):
        raise ValueError("list each once")
    return values


def _ascending(values: Sequence[NumberT]) -> Sequence[NumberT]:
    if sorted(values) != list(values):
        raise ValueError("list them in ascending order")
    return values


# Optimizers whose update is not the rate times what does not know the rate: averaging would equal no schedule of it.
RATE_WITHIN = {
    "adafactor": "it sets a rate of its own",
    "lars": "it keeps the rate in its momentum",
    "lbfgs": "it searches along a line",
    "prodigy": "it estimates its rate",
    "rprop": "it adapts its steps",
    "schedule_free": "it averages with weights that depend on the rate",
}


def _rate_apart(name: object) -> object:
    if reason := RATE_WITHIN.get(str(name).lower().replace("-", "_")):
        raise ValueError(f"{reason}; use sgd, nesterov or adamw, whose update is the rate times what does not know it")
    return name


# Upper ends are what no sensible run comes near; they stop a slip of the keyboard before it costs a day or all memory.
Steps = Annotated[int, Field(ge=1, le=10**8)]
Samples = Annotated[int, Field(ge=2, le=10**8)]
BatchSize = Annotated[int, Field(ge=1, le=2**20)]
TrainingBatchSize = Annotated[int, Field(ge=2, le=2**20, description="BatchNorm needs at least 2 samples")]
Count = Annotated[int, Field(ge=1, le=1000)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Ratio = Annotated[float, Field(gt=0, le=10)]
Share = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
# Lists; not strict about their own type alone, so that a list does for a tuple.
Different = (Field(strict=False), AfterValidator(_different))
Ascending = (*Different, AfterValidator(_ascending))
Windows = Annotated[tuple[Steps, ...], Field(min_length=1), *Ascending]
BranchSteps = Annotated[tuple[Annotated[int, Field(ge=0, le=10**8)], ...], *Ascending]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experiments:
    """Which experiments a variant has. The statements of one that it leaves out are not measured there."""

    single_step: bool
    fixed_batch: bool
    divergence: bool
    alignment: bool
    curvature: bool
    replicas: bool
    mean_gradient: bool
    quadratic: bool
    forecast: bool


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """Which pictures, and how they are augmented in training; or which text. Each ignores the keys of the other."""

    source: str = Field(pattern=f"^({'|'.join(SOURCES)})$", description=f"use one of {', '.join(SOURCES)}")
    # fashion_mnist | cifar10 | cifar100 | shakespeare; for a folder or a text, any name
    name: str = Field(pattern=r"^\w[\w .+-]*$", max_length=100, description="use letters, digits, spaces, _ . + -")
    # folder that holds (or receives) the files; not used by embedded
    root: str = Field(pattern=r"^\P{C}+$", max_length=1000, description="name a folder")
    # folder source: names of the splits' folders
    train_split: str = Field(pattern=FOLDER, max_length=1000, description="name a folder in data.root")
    validation_split: str = Field(pattern=FOLDER, max_length=1000, description="name a folder in data.root")
    size: int = Field(ge=4, le=1024)  # side of the square pictures in pixels
    shift: int = Field(ge=0, le=1023)  # training pictures are moved by up to this many pixels each way
    flip: bool  # and mirrored left to right with probability 1/2
    stored: int = Field(ge=0, le=2048)  # side of the packed pictures, of which `size` is the central part; 0: size
    crop: float = Field(ge=0, le=1)  # smallest share of the area of random resized crops in training; 0: none
    context: int = Field(ge=2, le=2**16)  # of a text: tokens of a window
    tokens: Literal["character", "byte"]
    validation_share: float = Field(gt=0, le=0.5)  # of a text, its end

    @property
    def is_text(self) -> bool:
        """Whether it is text, and not pictures."""
        known = KNOWN_DATASETS.get(self.name)
        return self.source == "text" or (self.source == "embedded" and known is not None and known.text)

    @property
    def packed_side(self) -> int:
        """Side of the packed pictures."""
        return self.stored or self.size


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """Which network."""

    name: str = Field(pattern=r"^\w+$", max_length=100, description="use resnet8, decoder or a torchvision one")
    width: int = Field(ge=1, le=1024)  # channels of the first stage (resnet8, resnet20), or of each layer (decoder)
    layers: int = Field(ge=1, le=100)  # decoder
    heads: int = Field(ge=1, le=100)  # decoder; of every layer
    stem: Literal["cifar", "imagenet"]  # torchvision's resnet18/34/50
    precision: Literal["fp32", "tf32", "bf16"]
    # on CPUs; portable: the same bits on every x86-64 processor with AVX2, native: this processor's own best kernels
    arithmetic: Literal["portable", "native"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Optimizer:
    """What turns a gradient into an update."""

    name: Annotated[Literal["sgd", "nesterov", "adamw"], BeforeValidator(_rate_apart)]
    momentum: float = Field(ge=0, lt=1)  # sgd, nesterov
    # adamw: decay of the two moments
    betas: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(strict=False, min_length=2, max_length=2)]
    eps: Share  # adamw
    weight_decay: float = Field(ge=0, lt=1)  # sgd, nesterov: part of the gradient; adamw: apart from it, times the rate


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BurnIn:
    """The main trajectory."""

    steps: Steps
    batch_size: TrainingBatchSize
    rate: float = Field(gt=0, le=100)
    schedule: Literal["constant", "linear", "cosine"]
    warm_up: int = Field(ge=0, le=10**8)  # steps over which the rate rises, from rate ÷ warm_up at the first; 0: none
    optimizer: Optimizer
    clip: float = Field(ge=0, le=1e6)  # largest norm of the whole gradient; longer ones are shortened to it; 0: none
    snapshot_every: Steps  # steps between the snapshots that branch points are replayed from


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Branch:
    """Where the run is branched."""

    points: BranchSteps = Field(min_length=1)  # late ones, on which the verdicts rest
    early: BranchSteps  # for contrast; the independent trip to the end of the run leaves from the first
    # so many seeds, the first ones, are measured from early ones otherwise, too
    early_seeds: int = Field(ge=0, le=1000)

    @property
    def steps(self) -> list[int]:
        """All branch points, ascending."""
        return sorted({*self.early, *self.points})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluation:
    """What every compared model is scored on."""

    batch_size: BatchSize
    train_samples: Samples  # a fixed part of the training split, without augmentation
    validation_samples: int = Field(ge=0, le=10**8, description="0 is all")  # of the validation split
    recalibration_samples: Samples  # training samples behind every BatchNorm statistic


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SingleStep:
    """Loss along one gradient step."""

    batch_sizes: Annotated[tuple[TrainingBatchSize, ...], *Ascending] = Field(min_length=1)
    own_batches: Count  # batches that steps are taken on, at each branch point and of each size
    held_out_batches: int = Field(ge=10, le=10_000)
    # most samples that go through the network at once; larger batches accumulate
    chunk: TrainingBatchSize
    points: int = Field(ge=5, le=10_000)  # step sizes on each of the two ranges
    widest: Positive  # largest step size of the wide range
    zoom: Positive  # largest step size of the zoomed range


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SideTrips:
    """Averages against trips with the equivalent schedule."""

    windows: Windows  # steps, for SWA
    two_point_windows: Windows  # also where divergence looks
    ema_steps: Steps  # steps of the EMA trips
    ema_newest: Share  # δ, weight of the newest iterate
    # Scores of momentary models, averages and trips are means over so many looks near the end of their widest windows.
    looks: Count
    look_every: Steps  # steps between them
    every: Steps  # steps between starts of running averages along the main trajectory


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Quadratic:
    """The analytic model; no data."""

    replicas: int = Field(ge=2, le=10**7)  # independent trajectories, simulated at once
    groups: int = Field(ge=2, le=10_000)  # equal parts of them, whose spread gives the intervals
    dimension: Count  # Lemma 1, drag and drift
    # Lemma 1; the warm-up takes about 1/rate steps
    rates: Annotated[tuple[Annotated[float, Field(ge=1e-5, lt=0.5)], ...], *Different] = Field(
        min_length=2, description="a slope needs two rates"
    )
    kernels: int = Field(ge=1, le=100_000)  # random kernels of Lemma 2
    window: int = Field(ge=4, le=100_000)  # longest kernel of Lemma 2; Appendix A
    covariance_rate: float = Field(ge=1e-4, lt=1)  # Appendix A
    fast: Positive  # curvatures of the two-scale system
    slow: Positive
    large_rate: Positive
    small_rate: Positive
    ema_steps: Steps  # one over the newest iterate's weight
    start: float = Field(gt=0, le=1e6)  # both coordinates at step 0
    steps: Steps
    every: Steps  # steps between rows of the table


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedBatch:
    """Steps on one fixed batch from two points of the main trajectory."""

    steps: int = Field(ge=3, le=10_000, description="the third step is judged")
    batches: Count  # whose trips are followed, for each two points
    points: int = Field(ge=3, le=10_000)  # on each line between the two runs, its ends included
    widest: Positive  # largest step size that the line search tries


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Divergence:
    """Trips near a branch point, on the same and on other batches."""

    looks: int = Field(ge=2, le=10_000)  # the last at the end of the window


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Curvature:
    """Lanczos quadrature of the Hessian from gradient noise."""

    batches: Count  # of the run's own size, behind the Hessian
    nodes: Count  # of each quadrature, each for a product of the Hessian
    starts: Count  # vectors of gradient noise


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Replicas:
    """Run, averages and trips from one branch point, on many batch sequences."""

    number: int = Field(ge=2, le=10_000)  # each with its own batch sequence


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MeanGradient:
    """The mean of the weights of several runs beside one run on the mean of their gradients."""

    sequences: int = Field(ge=2, le=10_000)  # of batches


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Alignment:
    """Gradients of a fixed batch along side trips."""

    steps: Steps
    every: Steps  # steps between looks
    fixed_batches: Count  # whose gradients are followed, at each branch point


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Forecast:
    """What a decay of the rate would give: forecasts and estimates against real cool-downs."""

    windows: Windows  # steps of the decays, multiples of burn_in.snapshot_every
    # steps at which real cool-downs begin; the later ones are forecast with what the earlier ones taught
    begins: BranchSteps = Field(min_length=2, description="a forecast learns from earlier cool-downs")
    every: Steps  # between looks at the run and its merged snapshots, a multiple of burn_in.snapshot_every
    # of the widest window, between snapshots: how sparse they may be
    intervals: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], *Ascending] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Claims:
    """Thresholds of the verdicts, and the tests behind them."""

    confidence: Probability  # of the intervals that are shown
    level: float = Field(gt=0, lt=0.5)  # of each one-sided test behind a verdict
    power: Probability  # at which the seeds needed are counted
    # Ratios, and differences relative to something: positive, and far above any that would still be the effect.
    single_step_floor: Ratio
    single_step_gap: Ratio
    single_step_rate: Ratio
    quadratic_own: float = Field(ge=0, lt=1)  # an R²
    low_degree_own: float = Field(ge=0, lt=1)  # an R²
    batch_size_gap: Positive
    fixed_batch_floor: Ratio
    fixed_batch_held_out: Ratio
    fixed_batch_basin: Ratio
    average_is_schedule: Ratio
    midpoint_tracks_half_rate: Ratio
    midpoint_distance: Ratio
    fixed_gradient_norm: Ratio
    fixed_gradient_cosine: float = Field(ge=-1, lt=1)
    fixed_gradient_direction: float = Field(ge=0, lt=1)  # a share
    batch_gradients_orthogonal: Share  # a cosine
    distance_level: Ratio
    distance_change: Ratio
    ema_two_scales: Share
    cosine_run_loss: Ratio  # nats
    cosine_run_accuracy: Share  # a share of the pictures
    identity_error: Share  # absolute, of weights of order 1
    # Of the project's own rows.
    forecast_coverage: Probability  # share of the cool-downs that lie within theirs


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Runtime:
    """Where the work runs; changes no result, so no stage tracks it."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$", description="use auto, cpu, cuda or cuda:N")
    workers: int = Field(0, ge=0, le=1024, description="0 is one a core, or one a GPU")  # processes on this machine
    executor: Literal["processes", "dask"] = "processes"  # processes: a pool of them on this machine
    # With dask: where a scheduler is, by address or by the file it wrote. Neither: Dask workers on this machine.
    dask_address: str = Field(
        "", pattern=r"^((\w+://)?[^\s/]+:\d{1,5})?$", description="use HOST:PORT of a scheduler, or '' for workers here"
    )
    dask_scheduler_file: str = Field("", pattern=r"^\P{C}*$", max_length=1000, description="name a file")

    @property
    def on_cluster(self) -> bool:
        """Whether units run on workers that are not of this stage's making."""
        return self.executor == "dask" and bool(self.dask_address or self.dask_scheduler_file)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config:
    """Everything a variant is made of."""

    # Names folders in runs/ and reports/.
    variant: str = Field(pattern=r"^[a-z0-9_]+$", max_length=100, description="use lower-case letters, digits and _")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...], *Different] = Field(min_length=1)
    experiments: Experiments
    data: Data
    model: Model
    burn_in: BurnIn
    branch: Branch
    evaluation: Evaluation
    single_step: SingleStep
    side_trips: SideTrips
    quadratic: Quadratic
    fixed_batch: FixedBatch
    divergence: Divergence
    curvature: Curvature
    replicas: Replicas
    mean_gradient: MeanGradient
    alignment: Alignment
    forecast: Forecast
    claims: Claims
    runtime: Runtime

    @property
    def left_out(self) -> frozenset[str]:
        """Names of the experiments that the variant does not have."""
        return frozenset(name for name, there in vars(self.experiments).items() if not there)
