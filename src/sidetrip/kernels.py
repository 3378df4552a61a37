"""Averaging kernels and learning-rate schedules: one algebra, exact in both directions.

Number the steps after a branch point i = 1..k and let m_i be what the optimizer applies,
θ_i = θ_{i-1} - λ m_i. If the m_i are those of the run at constant rate, then

    Σ_j w_j θ_j = θ_0 - λ Σ_i s_i m_i    with    s_i = Σ_{j >= i} w_j,

so an average of iterates with weights w and a side trip with rate multipliers s land on the same
point. Every averaging method and every decay shape is a constructor here; the code that forms an
average or runs a trip knows only `Kernel` and `Schedule`.

References
----------
Sandler, Zhmoginov, Miller, Vladymyrov, "Training trajectories, mini-batch losses and the curious
role of the learning rate", Table 1, Lemma 2, Appendix A. DOI 10.48550/arXiv.2301.02312.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUM_TOLERANCE = 1e-9  # how far from 1 weights of size 1 may sum: those of a text file have been cut
LARGEST_ROUNDING = 0.01  # of weights in half precision, or large ones; a sum that is farther off is a mistake
LONGEST_WINDOW = 10_000_000  # steps; more is a slip of the keyboard, and would fill the memory


def _vector(values: ArrayLike, name: str, least: int) -> NDArray[np.float64]:
    vector = np.array(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) < least:
        raise ValueError(f"{name} must be a vector of at least {least} number(s), got shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite, got {vector[~np.isfinite(vector)][0]}")
    vector.flags.writeable = False
    return vector


def _window(k: int, least: int = 1) -> int:
    if isinstance(k, bool) or not isinstance(k, Real) or not least <= k <= LONGEST_WINDOW or int(k) != k:
        raise ValueError(f"the number of steps must be a whole number from {least} to {LONGEST_WINDOW}, got {k!r}")
    return int(k)


@dataclass(frozen=True, eq=False)
class Kernel:
    """Averaging weights over a branch point and the k iterates after it.

    Parameters
    ----------
    weights : array_like, shape (k + 1,)
        w_0..w_k, where w_0 belongs to the branch point θ_0 and w_k to the newest iterate. They must
        sum to 1, to the rounding of the type that they come in; negative weights are allowed. What a type of less than
        double precision leaves over is divided out.

    Raises
    ------
    ValueError
        If the weights do not sum to 1, are not finite, or are not a vector.
    """

    weights: NDArray[np.float64]

    def __init__(self, weights: ArrayLike) -> None:
        vector = _vector(weights, "kernel weights", least=1)
        given = np.asarray(weights).dtype
        type_of_sum = given if given.kind == "f" else vector.dtype
        rounding = len(vector) * float(np.finfo(type_of_sum).eps) * float(np.abs(vector).sum())
        if abs(vector.sum() - 1.0) > min(max(rounding, SUM_TOLERANCE), LARGEST_ROUNDING):
            raise ValueError(f"kernel weights must sum to 1, these sum to {vector.sum():.12g}; divide by their sum")
        if given.kind == "f" and given.itemsize < vector.itemsize:
            vector = _vector(vector / vector.sum(), "kernel weights", least=1)
        object.__setattr__(self, "weights", vector)

    @property
    def steps(self) -> int:
        """Number of steps k after the branch point."""
        return len(self.weights) - 1

    @classmethod
    def identity(cls, k: int) -> Kernel:
        """All weight on θ_k: no averaging (k may be 0)."""
        k = _window(k, least=0)
        return cls(np.eye(1, k + 1, k)[0])

    @classmethod
    def swa(cls, k: int) -> Kernel:
        """Stochastic weight averaging: the mean of θ_1..θ_k, without the branch point (Table 1, row 1)."""
        k = _window(k)
        return cls(np.r_[0.0, np.full(k, 1.0 / k)])

    @classmethod
    def two_point(cls, k: int) -> Kernel:
        """The midpoint of θ_0 and θ_k (Table 1, row 2)."""
        weights = np.zeros(_window(k) + 1)
        weights[0] = weights[-1] = 0.5
        return cls(weights)

    @classmethod
    def ema(cls, k: int, newest: float) -> Kernel:
        """Exponential moving average started at the branch point (Table 1, row 3).

        Parameters
        ----------
        k : int
            Steps after the branch point.
        newest : float
            δ, the weight of the newest iterate; most libraries call 1 - δ the decay. The branch point
            keeps w_0 = (1 - δ)^k.
        """
        k, newest = _window(k), float(newest)
        if not 0.0 < newest <= 1.0:
            raise ValueError(f"the newest iterate's weight must lie in (0, 1], got {newest!r}")
        ages = np.arange(k - 1, -1, -1)
        return cls(np.r_[(1.0 - newest) ** k, newest * (1.0 - newest) ** ages])

    def schedule(self) -> Schedule:
        """The equivalent schedule: tail sums s_i = Σ_{j >= i} w_j, i = 1..k.

        Raises
        ------
        ValueError
            If the kernel spans no step (k = 0): there is nothing to schedule.
        """
        return Schedule(np.cumsum(self.weights[::-1])[::-1][1:])

    @cached_property
    def autocorrelation(self) -> NDArray[np.float64]:
        """C_d = Σ_j w_j w_{j+d} for d = 0..k (Appendix A.2), shape (k + 1,)."""
        size = 1 << (2 * len(self.weights) - 1).bit_length()
        spectrum = np.fft.rfft(self.weights, size)
        return np.fft.irfft(spectrum * spectrum.conj(), size)[: len(self.weights)]

    def rate_factor(self, x: ArrayLike) -> NDArray[np.float64]:
        """Effective over actual rate, λ̂/λ, of a degree of freedom with λκ = x.

        The stationary variance of the average divided by that of the iterates,
        C_0 + 2 Σ_{d >= 1} C_d (1 - x)^d (eq. 19; eq. 20 and 21 are special cases).

        Parameters
        ----------
        x : array_like
            λκ, rate times curvature; any shape, which is that of the factor.
        """
        contraction = 1.0 - np.asarray(x, dtype=np.float64)
        coefficients = np.r_[self.autocorrelation[:1], 2.0 * self.autocorrelation[1:]]
        return np.asarray(np.polynomial.polynomial.polyval(contraction, coefficients), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Multipliers on the learning rate for the k steps of a side trip.

    Parameters
    ----------
    multipliers : array_like, shape (k,)
        s_1..s_k.

    Raises
    ------
    ValueError
        If the multipliers are not finite or not a vector of at least one.
    """

    multipliers: NDArray[np.float64]

    def __init__(self, multipliers: ArrayLike) -> None:
        object.__setattr__(self, "multipliers", _vector(multipliers, "schedule multipliers", least=1))

    @property
    def steps(self) -> int:
        """Number of steps k."""
        return len(self.multipliers)

    @classmethod
    def constant(cls, k: int, factor: float = 1.0) -> Schedule:
        """The same multiplier on every step."""
        return cls(np.full(_window(k), factor, dtype=np.float64))

    @classmethod
    def decay(cls, k: int, shape: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Schedule:
        """s_i = f((i - 1)/k) for a decay shape f on [0, 1)."""
        return cls(shape(np.arange(_window(k)) / k))

    @classmethod
    def linear(cls, k: int) -> Schedule:
        """1 - x; the schedule of `Kernel.swa(k)`."""
        return cls.decay(k, lambda x: 1.0 - x)

    @classmethod
    def cosine(cls, k: int) -> Schedule:
        """(1 + cos πx)/2."""
        return cls.decay(k, lambda x: 0.5 * (1.0 + np.cos(np.pi * x)))

    @classmethod
    def one_minus_sqrt(cls, k: int) -> Schedule:
        """1 - √x."""
        return cls.decay(k, lambda x: 1.0 - np.sqrt(x))

    def kernel(self) -> Kernel:
        """The equivalent kernel: w_0 = 1 - s_1, w_j = s_j - s_{j+1}, w_k = s_k."""
        return Kernel(-np.diff(np.r_[1.0, self.multipliers, 0.0]))


DECAYS: dict[str, Callable[[int], Schedule]] = {
    "linear": Schedule.linear,
    "cosine": Schedule.cosine,
    "1-sqrt": Schedule.one_minus_sqrt,
}
"""Shapes of a decay of the learning rate to 0, by the names that commands and tables have for them."""
