"""The analytic model measured: Lemma 1, Lemma 2, Fig. 4, 9, 11 and Appendix A. No data.

It is computed on processor cores, wherever networks are trained: a GPU would draw other random numbers.

Everything random comes in `groups` of equally many replicas; tables hold one row a group, so that an
interval needs nothing but the spread over groups.
"""

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.config import Quadratic
from sidetrip.engine.batch import Batch
from sidetrip.engine.lab import Lab
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.randomness import generator, torch_generator
from sidetrip.engine.state import initial_state
from sidetrip.engine.training import advance
from sidetrip.experiments.quadratic.plan import Part
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.quadratic import (
    change_of_norm,
    drag_and_drift,
    equation_19,
    simulate,
    squared_norm,
    standard_normal,
    stationary_covariance,
    stochastic_step,
)

CPU = torch.device("cpu")
OMEGAS = {  # of Appendix A: a symmetric one, and one that does not commute with its transpose
    "symmetric": np.array([[1.0, 0.3, 0.0], [0.3, 0.6, 0.1], [0.0, 0.1, 0.3]]),
    "non_symmetric": np.array([[1.0, 2.0, 0.0], [0.0, 0.6, 2.0], [0.0, 0.0, 0.3]]),
}


def group_means(values: Tensor, settings: Quadratic) -> list[float]:
    """Mean over the replicas of each group, from one value a replica."""
    means: list[float] = values.reshape(settings.groups, -1).mean(dim=1).tolist()
    return means


def lemma_1(settings: Quadratic, rate: float) -> pd.DataFrame:
    """Stationary radius at one rate, for A_x = I and for Gaussian A_x with E[AᵀA] = I; c ~ N(0, I).

    Lemma 1 is about small rates: eq. 12 has a relative correction of order λ, which adds to the log-log
    slope (at the default rates 0.002 for this random A_x) and must stay below the Monte-Carlo error.

    Returns
    -------
    DataFrame
        model (identity, random), rate, group, mean_square_radius, exact (λ/(2 - λ)·E‖c‖² for the
        identity, else empty).
    """
    rows = []
    n, d = settings.replicas, settings.dimension
    for model in ("identity", "random"):
        random = torch_generator(CPU, "quadratic", "lemma_1", model, rate)
        theta = torch.zeros(n, d, dtype=torch.float64)
        # What is missing from the squared radius, a share (1 - λ)^2n, is the same at each rate and far below
        # the Monte-Carlo error.
        for _ in range(math.ceil(math.log(1e-3) / (2 * math.log1p(-rate)))):
            a = standard_normal((n, d, d), random) / math.sqrt(d) if model == "random" else None
            theta = stochastic_step(theta, rate, a, standard_normal((n, d), random))
        exact = rate / (2.0 - rate) * d if model == "identity" else math.nan
        means = group_means(squared_norm(theta), settings)
        rows += [(model, rate, group, mean, exact) for group, mean in enumerate(means)]
    return pd.DataFrame(rows, columns=["model", "rate", "group", "mean_square_radius", "exact"])


class _LinearLoss:
    """A stream whose batch of a step is that step's constant gradient, which has no parts."""

    def __init__(self, key: int, size: int) -> None:
        self._key, self._size = key, size

    def batch(self, step: int) -> Batch:
        gradient = generator("quadratic", "lemma_2", self._key, step).standard_normal(self._size)
        return Batch(torch.from_numpy(gradient), torch.empty(0))


def _inner_product(model: nn.Module, batch: Batch, precision: str) -> Tensor:
    return (torch.cat([p.flatten() for p in model.parameters()]) * batch.inputs).sum()


def lemma_2(settings: Quadratic) -> pd.DataFrame:
    """Average and trip on a linear loss, in float64, for random kernels (negative weights too).

    The run is advanced by the pipeline's own `advance` and averaged by its own `RunningAverage`, from
    a branch point whose momentum buffers are not zero. Negative controls: averages with the kernel reversed
    in time and shuffled, against the same trip.

    Returns
    -------
    DataFrame
        momentum, kernel (index), steps, smallest_weight; largest_difference, reversed_difference,
        shuffled_difference: over the weights, between the trip and the average with each kernel.
    """
    rows = []
    for momentum in (0.0, 0.9):
        optimizer = SGD(momentum=momentum)
        for index in range(settings.kernels):
            random = generator("quadratic", "lemma_2", "kernel", index)
            weights = random.standard_normal(random.integers(2, settings.window + 2))
            kernel = Kernel(weights + (1.0 - weights.sum()) / len(weights))
            order = random.permutation(len(weights))
            if (order == np.arange(len(weights))).all():
                order = np.roll(order, 1)
            wrong = [Kernel(kernel.weights[::-1]), Kernel(kernel.weights[order])]
            model = nn.Linear(4, 3).double()
            for parameter in model.parameters():
                nn.init.constant_(parameter, 0.3)
            stream = _LinearLoss(index, sum(p.numel() for p in model.parameters()))

            run = partial(advance, model, stream=stream, optimizer=optimizer, loss=_inner_product)
            branch = run(initial_state(model), rates=[0.1] * 5)
            averages = [RunningAverage(each, branch.step) for each in (kernel, *wrong)]
            run(branch, rates=[0.1] * kernel.steps, observers=averages)
            trip = run(branch, rates=(0.1 * kernel.schedule().multipliers).tolist())
            apart = [
                max(float((w - trip.weights[name]).abs().max()) for name, w in average.weights().items())
                for average in averages
            ]
            rows.append((momentum, index, kernel.steps, float(kernel.weights.min()), *apart))
    differences = ["largest_difference", "reversed_difference", "shuffled_difference"]
    return pd.DataFrame(rows, columns=["momentum", "kernel", "steps", "smallest_weight", *differences])


def drag_and_drift_steps(settings: Quadratic) -> pd.DataFrame:
    """Both sides of eq. 8, for 100 steps one by one, with random A_x and c_x.

    Returns
    -------
    DataFrame
        step, relative_difference: largest over the replicas, relative to ‖θ‖²; mean_cross_term and its
        standard_error: 2λ(1 - λγ_x)θᵀb_x ÷ ‖θ‖², which the paper's γ_x (from A_x alone) leaves out.
    """
    random = torch_generator(CPU, "quadratic", "drag_and_drift")
    n, d, rate = settings.replicas, settings.dimension, max(settings.rates)
    theta = standard_normal((n, d), random)
    rows = []
    for step in range(1, 101):
        a = standard_normal((n, d, d), random) / math.sqrt(d)
        c = standard_normal((n, d), random)
        after = stochastic_step(theta, rate, a, c)
        squared = squared_norm(theta)
        change = squared_norm(after) - squared
        predicted = change_of_norm(theta, rate, *drag_and_drift(theta, (theta - after) / rate))
        along = (a * theta[:, None, :]).sum(dim=2)  # A_x θ
        cross = -2.0 * rate * (1.0 - rate * squared_norm(along) / squared) * (along * c).sum(dim=1) / squared
        error = float(cross.std()) / math.sqrt(n)
        rows.append((step, float(((change - predicted).abs() / squared).max()), float(cross.mean()), error))
        theta = after
    return pd.DataFrame(rows, columns=["step", "relative_difference", "mean_cross_term", "standard_error"])


def midpoints(settings: Quadratic) -> dict[str, pd.DataFrame]:
    """Two independent points of a stationary ellipsoid in the plane, and their midpoint.

    Returns
    -------
    midpoint_ratios : DataFrame
        group, ratio: root mean square norm of the midpoints over that of the points.
    stationary_points : DataFrame
        first_x, first_y, second_x, second_y of up to 300 pairs, to draw.
    """
    omega, rate = np.diag([1.0, 0.25]), max(settings.rates)
    warm_up = math.ceil(math.log(1e-5) / (2 * math.log1p(-0.25 * rate)))
    (first,), (second,) = (
        simulate(omega, rate, [Kernel.identity(1)], settings.replicas, warm_up, random)
        for random in (torch_generator(CPU, "quadratic", name) for name in ("first", "second"))
    )
    inside = group_means(squared_norm((first + second) / 2), settings)
    outside = group_means((squared_norm(first) + squared_norm(second)) / 2, settings)
    ratios = pd.DataFrame({"group": range(settings.groups), "ratio": np.sqrt(np.divide(inside, outside))})
    pairs = torch.hstack([first, second])[:300].numpy()
    points = pd.DataFrame(pairs, columns=["first_x", "first_y", "second_x", "second_y"])
    return {"midpoint_ratios": ratios, "stationary_points": points}


def two_scales(settings: Quadratic) -> pd.DataFrame:
    """Loss by degree of freedom of a fast and a slow one, at two rates and for an EMA at the larger (Fig. 9, 11).

    The EMA starts at the first iterate; its newest weight is 1 over `ema_steps`.

    Returns
    -------
    DataFrame
        step, run (large_rate, small_rate, ema), coordinate (fast, slow), group, loss (κu²/2).
    """
    curvature = torch.tensor([settings.fast, settings.slow], dtype=torch.float64)
    rows: list[tuple[object, ...]] = []

    def record(step: int, run: str, u: Tensor) -> None:
        for coordinate, losses in zip(("fast", "slow"), (0.5 * curvature * u.square()).T, strict=True):
            means = group_means(losses, settings)
            rows.extend((step, run, coordinate, group, value) for group, value in enumerate(means))

    for run, rate in (("large_rate", settings.large_rate), ("small_rate", settings.small_rate)):
        random = torch_generator(CPU, "quadratic", "two_scales", run)
        u = torch.full((settings.replicas, 2), settings.start, dtype=torch.float64)
        average = u.clone()
        for step in range(settings.steps + 1):
            if step % settings.every == 0:
                record(step, run, u)
                if run == "large_rate":
                    record(step, "ema", average)
            u = (1.0 - rate * curvature) * u + rate * standard_normal(u.shape, random)
            average.lerp_(u, 1.0 / settings.ema_steps)
    return pd.DataFrame(rows, columns=["step", "run", "coordinate", "group", "loss"])


def appendix_a(settings: Quadratic) -> pd.DataFrame:
    """Simulated covariance of an average over its closed form, tr(F⁻¹F̂)/d.

    Returns
    -------
    DataFrame
        omega (symmetric, non_symmetric), kernel, formula (exact, eq_19), group, ratio.
    """
    kernels = {
        "two-point": Kernel.two_point(settings.window),
        "n-point": Kernel.swa(settings.window),
        "EMA": Kernel.ema(settings.window, newest=4.0 / settings.window),
    }
    rows, rate = [], settings.covariance_rate
    for name, omega in OMEGAS.items():
        slowest = np.abs(np.linalg.eigvals(np.eye(3) - rate * omega)).max()
        warm_up = math.ceil(math.log(1e-6) / math.log(slowest))
        random = torch_generator(CPU, "quadratic", "appendix_a", name)
        averages = simulate(omega, rate, list(kernels.values()), settings.replicas, warm_up, random)
        for (label, kernel), average in zip(kernels.items(), averages, strict=True):
            for formula, closed in (("exact", stationary_covariance), ("eq_19", equation_19)):
                inverse = torch.as_tensor(np.linalg.inv(closed(omega, rate, kernel)))
                means = group_means(((average @ inverse) * average).sum(dim=1) / len(omega), settings)
                rows += [(name, label, formula, group, ratio) for group, ratio in enumerate(means)]
    return pd.DataFrame(rows, columns=["omega", "kernel", "formula", "group", "ratio"])


# Parts that make one table, of the same name.
PARTS = {"two_scales": two_scales, "appendix_a": appendix_a, "drag_and_drift": drag_and_drift_steps, "lemma_2": lemma_2}


def measure(lab: Lab, part: Part) -> dict[str, pd.DataFrame]:
    """The tables of one part of the analytic model."""
    settings = lab.config.quadratic
    if part == "midpoints":
        tables = midpoints(settings)
    else:
        tables = {"lemma_1": lemma_1(settings, part)} if isinstance(part, float) else {part: PARTS[part](settings)}
    lab.progress(1)
    return tables
