"""Typed schema of a variant: every key with its type, the values it may take, and its meaning.

What has to fit together across keys is in `checks`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidetrip.config.known import SOURCES
from sidetrip.config.limits import Number, above, below, between, choice, inside, numbers, setting, text

# Ends that no sensible run comes near; they stop a slip of the keyboard before it costs a day or all memory.
MOST_STEPS = 10**8
MOST_SAMPLES = 10**8
LARGEST_BATCH = 2**20
NEEDS_TWO = "BatchNorm needs at least 2 samples"


@dataclass
class Experiments:
    """Which experiments a variant has. The statements of one that it leaves out are not measured there."""

    single_step: bool = setting()
    fixed_batch: bool = setting()
    divergence: bool = setting()
    alignment: bool = setting()
    quadratic: bool = setting()
    forecast: bool = setting()


@dataclass
class Data:
    """Which pictures, and how they are augmented in training."""

    source: str = choice(*SOURCES)
    # fashion_mnist | cifar10 | cifar100; for a folder, any name
    name: str = text(r"\w[\w .+-]{0,99}", "use letters, digits, spaces and _ . + - (at most 100)")
    # folder that holds (or receives) the files; not used by embedded
    root: str = text(r".+", "name a folder")
    # folder source: names of the splits' folders
    train_split: str = text(r"[^/].*", "name a folder in data.root")
    validation_split: str = text(r"[^/].*", "name a folder in data.root")
    size: int = between(4, 1024)  # side of the square pictures in pixels
    shift: int = between(0, 1023)  # training pictures are moved by up to this many pixels each way
    flip: bool = setting()  # and mirrored left to right with probability 1/2
    stored: int = between(0, 2048)  # side of the packed pictures, of which `size` is the central part; 0: size
    crop: float = between(0, 1)  # smallest share of the area of random resized crops in training; 0: none

    @property
    def packed_side(self) -> int:
        """Side of the packed pictures."""
        return self.stored or self.size


@dataclass
class Model:
    """Which network."""

    name: str = text(r"[a-z0-9_]+", "not the name of a model; use resnet8, resnet20 or a torchvision one")
    width: int = between(1, 1024)  # channels of the first stage (resnet8, resnet20)
    stem: str = choice("cifar", "imagenet")  # torchvision's resnet18/34/50
    precision: str = choice("fp32", "tf32", "bf16")
    # on CPUs; portable: the same bits on every x86-64 processor with AVX2, native: this processor's own best kernels
    arithmetic: str = choice("portable", "native")


@dataclass
class BurnIn:
    """The main trajectory."""

    steps: int = between(1, MOST_STEPS)
    batch_size: int = between(2, LARGEST_BATCH, NEEDS_TWO)
    rate: float = above(0, 100)
    schedule: str = choice("constant", "linear", "cosine")
    momentum: float = below(0, 1)
    weight_decay: float = below(0, 1)
    snapshot_every: int = between(1, MOST_STEPS)  # steps between the snapshots that branch points are replayed from


@dataclass
class Branch:
    """Where the run is branched."""

    # late ones, on which the verdicts rest
    points: list[int] = numbers(
        Number(0, MOST_STEPS), at_least=2, reason="fixed_batch compares neighbouring branch points"
    )
    early: list[int] = numbers(Number(0, MOST_STEPS), at_least=0)  # for contrast, in no verdict
    early_seeds: int = between(1, 1000)  # the first so many seeds have early ones

    @property
    def steps(self) -> list[int]:
        """All branch points, ascending."""
        return sorted({*self.early, *self.points})


@dataclass
class Evaluation:
    """What every compared model is scored on."""

    batch_size: int = between(1, LARGEST_BATCH)
    train_samples: int = between(2, MOST_SAMPLES)  # a fixed part of the training split, without augmentation
    validation_samples: int = between(0, MOST_SAMPLES, "0 is all")  # of the validation split
    recalibration_samples: int = between(2, MOST_SAMPLES)  # training samples behind every BatchNorm statistic


@dataclass
class SingleStep:
    """Loss along one gradient step."""

    batch_sizes: list[int] = numbers(Number(2, LARGEST_BATCH, reason=NEEDS_TWO))
    own_batches: int = between(1, 1000)  # batches that steps are taken on, at each branch point and of each size
    held_out_batches: int = between(10, 10_000)
    # most samples that go through the network at once; larger batches accumulate
    chunk: int = between(2, LARGEST_BATCH, NEEDS_TWO)
    points: int = between(5, 10_000)  # step sizes on each of the two ranges
    widest: float = above(0, 1000)  # largest step size of the wide range
    zoom: float = above(0, 1000)  # largest step size of the zoomed range


@dataclass
class SideTrips:
    """Averages against trips with the equivalent schedule."""

    windows: list[int] = numbers(Number(1, MOST_STEPS))  # steps, for SWA
    two_point_windows: list[int] = numbers(Number(1, MOST_STEPS))  # also where divergence looks
    ema_steps: int = between(1, MOST_STEPS)  # steps of the EMA trips
    ema_newest: float = above(0, 1)  # δ, weight of the newest iterate
    # Scores of momentary models, averages and trips are means over so many looks near the end of their widest windows.
    looks: int = between(1, 1000)
    look_every: int = between(1, MOST_STEPS)  # steps between them
    every: int = between(1, MOST_STEPS)  # steps between starts of running averages along the main trajectory


@dataclass
class Quadratic:
    """The analytic model; no data."""

    replicas: int = between(2, 10**7)  # independent trajectories, simulated at once
    groups: int = between(2, 10_000)  # equal parts of them, whose spread gives the intervals
    dimension: int = between(1, 1000)  # Lemma 1, drag and drift
    # Lemma 1; the warm-up takes about 1/rate steps
    rates: list[float] = numbers(Number(1e-5, 0.5, (0.5,)), at_least=2, ordered=False, reason="a slope needs two rates")
    kernels: int = between(1, 100_000)  # random kernels of Lemma 2
    window: int = between(4, 100_000)  # longest kernel of Lemma 2; Appendix A
    covariance_rate: float = below(1e-4, 1)  # Appendix A
    fast: float = above(0, 1000)  # curvatures of the two-scale system
    slow: float = above(0, 1000)
    large_rate: float = above(0, 1000)
    small_rate: float = above(0, 1000)
    ema_steps: int = between(1, MOST_STEPS)  # one over the newest iterate's weight
    start: float = above(0, 1e6)  # both coordinates at step 0
    steps: int = between(1, MOST_STEPS)
    every: int = between(1, MOST_STEPS)  # steps between rows of the table


@dataclass
class Divergence:
    """Trips near a branch point, and an independent one to the end of the run."""

    looks: int = between(2, 10_000)  # at the trips near a branch point, the last at the end of the window


@dataclass
class FixedBatch:
    """Steps on one fixed batch from two points of the main trajectory."""

    steps: int = between(3, 10_000, "the third step is judged")
    batches: int = between(1, 10_000)  # whose trips are followed, from each two points
    points: int = between(3, 10_000)  # on each line between the two runs, its ends included
    widest: float = above(0, 1000)  # largest step size that the line search tries


@dataclass
class Alignment:
    """Gradients of a fixed batch along side trips."""

    steps: int = between(1, MOST_STEPS)
    every: int = between(1, MOST_STEPS)  # steps between looks
    fixed_batches: int = between(1, 1000)  # whose gradients are followed, at each branch point


@dataclass
class Forecast:
    """What a decay of the rate would give: merged snapshots against real cool-downs."""

    windows: list[int] = numbers(Number(1, MOST_STEPS))  # steps of the decays, multiples of burn_in.snapshot_every
    # steps at which real cool-downs begin; the later ones are forecast with what the earlier ones taught
    begins: list[int] = numbers(Number(0, MOST_STEPS), at_least=2, reason="a forecast learns from earlier cool-downs")
    # of the widest window, between snapshots: how sparse they may be
    intervals: list[int] = numbers(Number(1, 10_000))


@dataclass
class Claims:
    """Thresholds of the verdicts, and the tests behind them."""

    confidence: float = inside(0, 1)  # of the intervals that are shown
    level: float = inside(0, 0.5)  # of each one-sided test behind a verdict
    power: float = inside(0, 1)  # at which the seeds needed are counted
    # Ratios, and differences relative to something: positive, and far above any that would still be the effect.
    single_step_floor: float = above(0, 10)
    single_step_gap: float = above(0, 10)
    single_step_rate: float = above(0, 10)
    quadratic_own: float = below(0, 1)  # an R²
    low_degree_own: float = below(0, 1)  # an R²
    batch_size_gap: float = above(0, 1000)
    fixed_batch_floor: float = above(0, 10)
    fixed_batch_held_out: float = above(0, 10)
    fixed_batch_basin: float = above(0, 10)
    average_is_schedule: float = above(0, 10)
    midpoint_tracks_half_rate: float = above(0, 10)
    midpoint_distance: float = above(0, 10)
    fixed_gradient_norm: float = above(0, 10)
    fixed_gradient_cosine: float = below(-1, 1)
    fixed_gradient_direction: float = below(0, 1)  # a share
    batch_gradients_orthogonal: float = above(0, 1)  # a cosine
    distance_level: float = above(0, 10)
    distance_change: float = above(0, 10)
    ema_two_scales: float = above(0, 1)
    cosine_run_loss: float = above(0, 10)  # nats
    cosine_run_accuracy: float = above(0, 1)  # a share of the pictures
    identity_error: float = above(0, 1)  # absolute, of weights of order 1
    # Of the project's own rows.
    forecast_confidence: float = inside(0, 1)  # of the interval of a forecast
    forecast_coverage: float = inside(0, 1)  # share of the cool-downs that lie within theirs


@dataclass
class Runtime:
    """Where the work runs; changes no result, but for the rounding with `processes`, so no stage tracks it."""

    device: str = text(r"auto|cpu|cuda(:\d{1,3})?", "use auto, cpu, cuda or cuda:N")
    workers: int = between(0, 1024, "0 is one a core, or one a GPU")  # processes on this machine
    processes: int = between(1, 1024)  # that each run of training goes over, one a core or GPU of this machine
    executor: str = choice("processes", "dask")  # processes: a pool of them on this machine
    # With dask: where a scheduler is, by address or by the file it wrote. Neither: Dask workers on this machine.
    dask_address: str = text(r"|(\w+://)?[^\s/]+:\d{1,5}", "use HOST:PORT of a scheduler, or '' for workers here")
    dask_scheduler_file: str = text(r".*", "name a file on one line")

    @property
    def on_cluster(self) -> bool:
        """Whether units run on workers that are not of this stage's making."""
        return self.executor == "dask" and bool(self.dask_address or self.dask_scheduler_file)


@dataclass
class Config:
    """Everything a variant is made of."""

    # Names folders in runs/ and reports/.
    variant: str = text(r"[a-z0-9_]{1,100}", "use lower-case letters, digits and underscores only (at most 100)")
    seeds: list[int] = numbers(Number(0, 2**32 - 1), ordered=False)
    experiments: Experiments = field(default_factory=Experiments)
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
    forecast: Forecast = field(default_factory=Forecast)
    claims: Claims = field(default_factory=Claims)
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def left_out(self) -> frozenset[str]:
        """Names of the experiments that the variant does not have."""
        return frozenset(name for name, there in vars(self.experiments).items() if not there)
