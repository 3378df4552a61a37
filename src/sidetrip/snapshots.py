"""The average of a few snapshots that stands for a decay of the learning rate, and how well it does.

Between two neighbouring snapshots t_{n-1} < t_n an average Σ_n c_n θ_{t_n} gives every step the same multiplier
s̄_n = Σ_{j >= n} c_j. The schedules that snapshots can realise are therefore the staircases that are constant between
snapshots. The nearest one has, on each interval, the mean of the wanted multipliers there.

If the run's own rate r_i varies, the multipliers are relative to it: θ̄ = θ_0 - Σ_i r_i s̄_i m_i misses the wanted point
by Σ_i r_i (s̄_i - s_i) m_i. Where the m_i are white noise, the expected square of this is proportional to
Σ_i r_i² (s̄_i - s_i)², so the mean on each interval is weighted by r_i². A constant m_i would ask for weights r_i; the
error that this choice makes there is reported as `drift`, and is zero if the rate is constant between snapshots.

References
----------
Sandler, Zhmoginov, Miller, Vladymyrov, "Training trajectories, mini-batch losses and the curious role of the learning
rate", Table 1 and Lemma 2, for snapshots at every step. DOI 10.48550/arXiv.2301.02312.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidetrip.kernels import LONGEST_WINDOW, Schedule

Vector = NDArray[np.float64]

# Sum of the sizes of the coefficients. It is 1 for every schedule that falls from at most 1 to at least 0.
LARGE_AMPLIFICATION, LARGEST_AMPLIFICATION = 2.0, 100.0
# Share of the decay that is realised: 1 - 1/(4 n²) for a linear decay over n equal intervals.
SMALL_SHARE, SMALLEST_SHARE = 0.9, 0.5
LARGE_DRIFT = 0.02  # of the sum of the rates


@dataclass(frozen=True, eq=False)
class SnapshotAverage:
    """The average of snapshots that is nearest to a wanted schedule.

    Of the steps begin + 1..end, shape (end - begin,): `wanted` and `realised` are the multipliers asked for, which are
    1 before the window, and those that the average stands for; `rates` are the run's own, all 1 if none was given.
    """

    steps: tuple[int, ...]  # of all snapshots given, ascending
    coefficients: Vector  # of each; they sum to 1, and those older or newer than needed have 0
    window: int  # number of steps of the wanted schedule
    begin: int  # step of the oldest snapshot that is used, at or before the beginning of the window
    end: int  # that of the newest, the end of the window
    wanted: Vector
    realised: Vector
    rates: Vector

    @property
    def used(self) -> tuple[int, ...]:
        """Steps of the snapshots from `begin` to `end`, ascending."""
        return tuple(step for step in self.steps if self.begin <= step <= self.end)

    @property
    def levels(self) -> Vector:
        """Multiplier of the interval that ends at each used snapshot but the oldest, shape (used - 1,)."""
        return self.realised[[step - self.begin - 1 for step in self.used[1:]]]

    @property
    def distance(self) -> float:
        """Root mean square of realised minus wanted multipliers; each step counts by its squared rate."""
        return float(np.sqrt(_mean((self.realised - self.wanted) ** 2, self.rates**2)))

    @property
    def share(self) -> float:
        """How much of the decay is realised: 1 is all of it, 0 is no better than the newest snapshot alone.

        1 - |realised - wanted|² / |1 - wanted|², each step counting by its squared rate.
        """
        whole = _mean((1.0 - self.wanted) ** 2, self.rates**2)
        return 1.0 - self.distance**2 / whole if whole > 0.0 else 1.0

    @property
    def amplification(self) -> float:
        """Σ|c|: 1 for coefficients that are all at least 0, and larger where the noise of the snapshots is enlarged."""
        return float(np.abs(self.coefficients).sum())

    @property
    def drift(self) -> float:
        """Relative difference between the realised and the wanted sum of rate times multiplier.

        It is the error that a constant gradient would make, and 0 if the rate is constant between snapshots.
        """
        wanted = float(self.rates @ self.wanted)
        return float(self.rates @ self.realised) / wanted - 1.0 if wanted else 0.0

    @property
    def objections(self) -> tuple[str, ...]:
        """Reasons not to use the average at all, one sentence each."""
        found = []
        if self.share < SMALLEST_SHARE:
            found.append(
                f"these snapshots realise only {max(self.share, 0.0):.0%} of the schedule ({self._coarseness()}); "
                "use denser snapshots or a longer window"
            )
        if self.amplification > LARGEST_AMPLIFICATION:
            found.append(f"{self._enlarged()}; use a schedule that stays between 0 and 1 and does not rise")
        return tuple(found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to trust the average less, one sentence each; `objections` are not repeated."""
        found = []
        if SMALLEST_SHARE <= self.share < SMALL_SHARE:
            found.append(
                f"these snapshots realise {self.share:.0%} of the schedule ({self._coarseness()}); "
                "denser snapshots or a longer window realise more"
            )
        if LARGE_AMPLIFICATION < self.amplification <= LARGEST_AMPLIFICATION:
            found.append(f"{self._enlarged()}; a schedule that stays between 0 and 1 and does not rise avoids it")
        if abs(self.drift) > LARGE_DRIFT:
            found.append(
                f"the sum of the realised rates differs from that of the wanted ones by {self.drift:+.1%}, because the "
                "run's own rate changes between snapshots; denser snapshots bring them together"
            )
        return tuple(found)

    def _coarseness(self) -> str:
        intervals, spacing = len(self.used) - 1, self.end - self.used[-2]  # of the two newest
        if self.window < spacing:
            return f"the window of {self.window} steps is shorter than the spacing of {spacing} steps"
        return f"the window of {self.window} steps has {intervals} interval{'s' * (intervals > 1)} between snapshots"

    def _enlarged(self) -> str:
        return f"the sizes of the coefficients sum to {self.amplification:.3g}, which enlarges noise of the snapshots"


def nearest_average(
    steps: Sequence[int], wanted: Schedule, rates: ArrayLike | None = None, end: int | None = None
) -> SnapshotAverage:
    """Coefficients of the snapshots that stand for the staircase nearest to a wanted schedule.

    Parameters
    ----------
    steps : sequence of int
        Steps of the snapshots, ascending; the spacing may vary.
    wanted : Schedule
        Multipliers on the run's own rate for the last steps up to `end`; for a kernel, `kernel.schedule()`. The steps
        before the window that share an interval with it are wanted at multiplier 1.
    rates : array_like, shape (n,), optional
        The run's own rate of each of its steps 1..n, with n >= end. Constant by default.
    end : int, optional
        Step of the snapshot at which the window ends; the newest by default. Newer snapshots are not used.

    Returns
    -------
    SnapshotAverage
        The coefficients, the schedule that they realise, and how good it is.

    Raises
    ------
    ValueError
        If there are fewer than two snapshots, their steps do not ascend, the window begins before the first of them
        (an extrapolation), no snapshot lies at `end`, or the rates do not cover the window or are not rates.
    """
    given = _ascending(steps)
    last = _end(given, end)
    first_of_window = last - wanted.steps
    if first_of_window < given[0]:
        raise ValueError(
            f"a window of {wanted.steps} steps that ends at step {last} begins at step {first_of_window}, before the "
            f"first snapshot at step {given[0]}; use at most {last - given[0]} steps, or an earlier snapshot"
        )
    begin = max(step for step in given if step <= first_of_window)
    if last - begin > LONGEST_WINDOW:
        raise ValueError(f"the snapshots span {last - begin} steps, more than {LONGEST_WINDOW}; name denser ones")
    used = [step for step in given if begin <= step <= last]
    multipliers = np.r_[np.ones(first_of_window - begin), wanted.multipliers]
    own = np.ones(len(multipliers)) if rates is None else _rates_between(rates, begin, last)
    edges = np.subtract(used, begin)
    levels = _interval_means(multipliers, own**2, edges)
    coefficients = np.zeros(len(given))
    # c_0 = 1 - s̄_1, c_n = s̄_n - s̄_{n+1}, c_m = s̄_m: the kernel of the staircase where it is not zero.
    coefficients[[given.index(step) for step in used]] = -np.diff(np.r_[1.0, levels, 0.0])
    realised = np.repeat(levels, np.diff(edges))
    return SnapshotAverage(given, coefficients, wanted.steps, begin, last, multipliers, realised, own)


def relative_schedule(wanted_rates: ArrayLike, own_rates: ArrayLike) -> Schedule:
    """Multipliers that turn the run's own rates into wanted ones, s_i = wanted_i / own_i.

    Parameters
    ----------
    wanted_rates, own_rates : array_like, shape (k,)
        Absolute rates of the same k steps.

    Raises
    ------
    ValueError
        If the shapes differ, or a rate is wanted at a step where the run's own rate is 0: the run did not move there.
    """
    wanted, own = np.asarray(wanted_rates, dtype=np.float64), _checked_rates(own_rates)
    if wanted.shape != own.shape:
        raise ValueError(f"{wanted.size} wanted rates for {own.size} own rates; give one for each step")
    if (still := np.flatnonzero((own == 0.0) & (wanted != 0.0))).size:
        raise ValueError(
            f"the run's own rate is 0 at step {still[0] + 1} of the window, where no average can realise a rate of "
            f"{wanted[still[0]]:.3g}; want 0 there, or use a window without this step"
        )
    return Schedule(np.divide(wanted, own, out=np.ones_like(own), where=own != 0.0))


def _ascending(steps: Sequence[int]) -> tuple[int, ...]:
    given = tuple(int(step) for step in steps)
    if len(given) < 2:
        raise ValueError(f"an average needs at least 2 snapshots, got {len(given)}; name more")
    if wrong := next(((a, b) for a, b in pairwise(given) if b <= a), None):
        raise ValueError(
            f"the steps of the snapshots must ascend without repetition, got {wrong[1]} after {wrong[0]}; "
            "sort them and name each once"
        )
    return given


def _end(given: tuple[int, ...], end: int | None) -> int:
    if end is None:
        return given[-1]
    if end not in given[1:]:
        nearest = min(given[1:], key=lambda step: abs(step - end))
        raise ValueError(f"the window cannot end at step {end}, where no later snapshot lies; the nearest is {nearest}")
    return end


def _checked_rates(rates: ArrayLike) -> Vector:
    given = np.asarray(rates, dtype=np.float64)
    if given.ndim != 1 or not (np.isfinite(given) & (given >= 0.0)).all():
        raise ValueError("the run's own rates must be a list of finite numbers of at least 0, one for each step")
    return given


def _rates_between(rates: ArrayLike, begin: int, end: int) -> Vector:
    """Rates of the steps begin + 1..end, from those of the steps 1..n."""
    given = _checked_rates(rates)
    if begin < 0 or len(given) < end:
        raise ValueError(
            f"{len(given)} rates do not cover the steps {begin + 1}..{end}; give the rates of the run's steps 1..{end}"
        )
    return given[begin:end]


def _mean(values: Vector, weights: Vector) -> float:
    """Weighted mean; unweighted if nothing has weight, which is where the run stood still."""
    return float(np.average(values, weights=weights)) if weights.any() else float(values.mean())


def _interval_means(values: Vector, weights: Vector, edges: NDArray[np.int64]) -> Vector:
    """Weighted mean between each pair of neighbouring edges."""
    return np.array([_mean(values[a:b], weights[a:b]) for a, b in pairwise(edges)])
