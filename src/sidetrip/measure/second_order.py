"""Where an average and a side trip part: to first order they end at one point, to second order they do not.

One degree of freedom of curvature κ under SGD in PyTorch's form, v ← μ v + κ θ + ξ, θ ← θ - λ s v, with white gradient
noise ξ. Appendix A has the variance of an average of its iterates; here is that of the trip as well. An average cuts
fast noise by more than its trip: the gradients of the trip are those of its own weights. With x = λκ,

    (θ, λv)_i = [[1 - s x, -s μ], [x, μ]] (θ, λv)_{i-1} + [-s, 1] λ ξ_i.

References
----------
Sandler, Zhmoginov, Miller, Vladymyrov, Appendix A. DOI 10.48550/arXiv.2301.02312.
Mandt, Hoffman, Blei, "Stochastic Gradient Descent as Approximate Bayesian Inference", 2017, section 4.
DOI 10.48550/arXiv.1704.04289.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidetrip.kernels import Kernel, Schedule

Values = NDArray[np.float64]


class Factors(NamedTuple):
    """What a window makes of noise: of the shape of x, nan where there is no stationary state.

    Attributes
    ----------
    variance : ndarray
        Variance at its end, over the stationary variance of one iterate.
    fresh : ndarray
        The part of `variance` that is of noise since the branch point; the rest is where the branch point lies.
    """

    variance: Values
    fresh: Values


def stationary_variance(x: ArrayLike, momentum: float) -> Values:
    """Variance of the iterates at constant rate, (1 + μ) / ((1 - μ) x (2 (1 + μ) - x)) in units of λ² Var ξ.

    Of the shape of x = λκ; nan where that does not lie between 0 and 2 (1 + μ): there is no stationary state.
    """
    x = np.asarray(x, dtype=np.float64)
    stable = np.where((x > 0.0) & (x < 2.0 * (1.0 + momentum)), x, np.nan)
    return np.asarray((1.0 + momentum) / ((1.0 - momentum) * stable * (2.0 * (1.0 + momentum) - stable)))


def factors(schedule: Schedule, kernel: Kernel, x: ArrayLike, momentum: float = 0.0) -> Factors:
    """Factors of the average, with weights `kernel`, of a trip along `schedule`; noise is stationary where it begins.

    At a constant rate and without momentum, that of the variance is `Kernel.rate_factor`.

    Raises
    ------
    ValueError
        If schedule and kernel differ in their steps.
    """
    if kernel.steps != schedule.steps:
        raise ValueError(f"the kernel spans {kernel.steps} steps, the schedule {schedule.steps}; make them equal")
    stationary = stationary_variance(x, momentum)
    x = np.where(np.isnan(stationary), np.nan, x)
    # Derivatives of the result with respect to θ_i and λv_i, from the last step back to the first.
    theta, velocity, added = np.full_like(x, kernel.weights[-1]), np.zeros_like(x), np.zeros_like(x)
    for multiplier, weight in zip(schedule.multipliers[::-1], kernel.weights[-2::-1], strict=True):
        noise = velocity - multiplier * theta
        added += noise**2
        theta, velocity = theta + x * noise + weight, momentum * noise
    # Relative to Var θ, the stationary λv has variance 2 x / (1 + μ) and covariance -x / (1 + μ) with θ.
    kept = theta**2 + 2.0 * x / (1.0 + momentum) * (velocity - theta) * velocity
    fresh = added / stationary
    return Factors(kept + fresh, fresh)


def trip_factors(schedule: Schedule, x: ArrayLike, momentum: float = 0.0) -> Factors:
    """Factors of the last iterate of a side trip."""
    return factors(schedule, Kernel.identity(schedule.steps), x, momentum)


class Spectrum(NamedTuple):
    """Gradient noise by curvature: nodes κ_i, and the variance of a batch's gradient there; both of shape (nodes,)."""

    curvature: Values
    power: Values


class ExcessLoss(NamedTuple):
    """By how much gradient noise raises the loss, in units of the loss.

    Attributes
    ----------
    momentary, average, trip : float
        Of one iterate, of an average, and of the last iterate of a trip.
    fresh_average, fresh_trip : float
        What noise since the branch point adds to the last two.
    """

    momentary: float
    average: float
    trip: float
    fresh_average: float
    fresh_trip: float

    @property
    def gain(self) -> float:
        """By how much the average lies below one iterate."""
        return self.momentary - self.average

    @property
    def difference(self) -> float:
        """(average - trip) ÷ gain; nan where nothing is gained, as over one step."""
        return (self.average - self.trip) / self.gain if self.gain else math.nan

    @property
    def fresh_difference(self) -> float:
        """The part of `difference` that is of noise since the branch point."""
        return (self.fresh_average - self.fresh_trip) / self.gain if self.gain else math.nan


def predict(kernel: Kernel, schedule: Schedule, spectrum: Spectrum, rate: float, momentum: float) -> ExcessLoss:
    """Excess loss of one iterate, of an average and of a trip: ½ κ times the variance, summed over the directions.

    A direction without positive curvature has no stationary state and is left out: as κ falls to 0, what it adds is
    ever less changed by a window, so that gain and difference do not depend on it.

    Parameters
    ----------
    kernel : Kernel
        The average; one of sparse snapshots has weights 0 between them.
    schedule : Schedule
        The trip: `kernel.schedule()`, or another that the average stands for.
    spectrum : Spectrum
        Of the gradient noise at the batch size of the run.
    rate, momentum : float
        λ at the branch point, and μ, at least 0 and below 1. A curvature too large for a stationary state,
        λκ >= 2 (1 + μ), makes the result nan.
    """
    curvature, power = (values[spectrum.curvature > 0.0] for values in spectrum)
    x = rate * curvature
    momentary = 0.5 * curvature * power * rate**2 * stationary_variance(x, momentum)
    average = factors(Schedule.constant(kernel.steps), kernel, x, momentum)
    trip = trip_factors(schedule, x, momentum)
    parts = (1.0, average.variance, trip.variance, average.fresh, trip.fresh)
    return ExcessLoss(*(float((momentary * part).sum()) for part in parts))
