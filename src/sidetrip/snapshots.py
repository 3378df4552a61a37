"""Which average of a few snapshots stands for a decay of the learning rate, and how well.

Between two neighbouring snapshots t_{n-1} < t_n an average Σ_n c_n θ_{t_n} gives every step the same multiplier
s̄_n = Σ_{j >= n} c_j: what snapshots can realise are staircases that are constant between them. The staircase nearest to
a wanted schedule, in least squares over the steps, has the mean of the wanted multipliers on each interval.

References
----------
Sandler et al. 2023, Table 1 and Lemma 2 for snapshots at every step. DOI 10.48550/arXiv.2301.02312.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidetrip.kernels import Schedule

LARGE_AMPLIFICATION = 2.0  # sum of the coefficients' sizes from which on noise of the snapshots is made larger


@dataclass(frozen=True)
class SnapshotAverage:
    """The average of snapshots that is nearest to a wanted schedule.

    Attributes
    ----------
    steps : tuple of int
        Of all snapshots given, ascending.
    coefficients : ndarray, shape (snapshots,)
        Of each snapshot; they sum to 1. Snapshots before the window have none.
    begin : int
        Step that the realised schedule begins after: that of the last snapshot at or before the window's begin.
    wanted, realised : ndarray, shape (steps[-1] - begin,)
        Multipliers of the steps after `begin`: those asked for, 1 before the window, and those that the average
        stands for.
    """

    steps: tuple[int, ...]
    coefficients: NDArray[np.float64]
    begin: int
    wanted: NDArray[np.float64]
    realised: NDArray[np.float64]

    @property
    def distance(self) -> float:
        """Root mean square difference of the realised from the wanted multipliers."""
        return float(np.sqrt(np.mean((self.realised - self.wanted) ** 2)))

    @property
    def amplification(self) -> float:
        """Σ|c|: 1 for a true average; what is above 1 makes the noise of the snapshots larger."""
        return float(np.abs(self.coefficients).sum())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the answer a poor one, a sentence each."""
        found = []
        used = int((self.steps[-1] - self.begin) and np.count_nonzero(np.asarray(self.steps) >= self.begin))
        if used == 2 and self.distance > 0:
            spacing = self.steps[-1] - self.begin
            found.append(
                f"the window lies between two snapshots, {spacing} steps apart: all that they can stand for is the "
                f"multiplier {self.realised[0]:.3g} all along; use a longer window or denser snapshots"
            )
        if self.amplification > LARGE_AMPLIFICATION:
            found.append(
                f"the coefficients' sizes sum to {self.amplification:.3g}: noise of the snapshots is made larger by as "
                "much; use a schedule that never rises nor goes above 1"
            )
        return tuple(found)


def nearest_average(
    steps: Sequence[int], wanted: Schedule, rates: ArrayLike | None = None, end: int | None = None
) -> SnapshotAverage:
    """The coefficients of snapshots that stand for the staircase nearest to a wanted schedule.

    Parameters
    ----------
    steps : sequence of int
        Of the snapshots, ascending.
    wanted : Schedule
        Multipliers on the run's own rate over the steps up to the last snapshot; of a kernel, `kernel.schedule()`.
    rates : array_like, optional
        The run's own rate of each step of the window, if it is not constant: a step then counts in proportion to its
        squared rate, which is what its share in the displacement is worth where the gradients' noise is white.
    end : int, optional
        Step of the snapshot that the window ends at; the last one by default. Later ones are not used.

    Raises
    ------
    ValueError
        If there are fewer than two snapshots, their steps are not ascending, the window begins before the first of
        them (which would be an extrapolation), or `rates` or `end` do not fit.
    """
    given = tuple(int(step) for step in steps)
    if len(given) < 2:
        raise ValueError(f"an average needs at least 2 snapshots, got {len(given)}; name more")
    if any(later <= earlier for earlier, later in pairwise(given)):
        raise ValueError(f"the snapshots' steps must be ascending and different, got {list(given)}")
    if end is not None and end not in given:
        raise ValueError(f"the window is to end at step {end}, where there is no snapshot; use one of {list(given)}")
    last = given[-1] if end is None else end
    begin_of_window = last - wanted.steps
    if begin_of_window < given[0]:
        raise ValueError(
            f"a window of {wanted.steps} steps that ends at step {last} begins at {begin_of_window}, before the first "
            f"snapshot ({given[0]}); use a shorter one, or an earlier snapshot"
        )
    begin = max(step for step in given if step <= begin_of_window)
    target = np.r_[np.ones(begin_of_window - begin), wanted.multipliers]
    weights = np.ones(len(target)) if rates is None else _squared(rates, wanted.steps, len(target))
    edges = [step for step in given if begin <= step <= last]
    levels = [
        float(np.average(target[a - begin : b - begin], weights=weights[a - begin : b - begin]))
        for a, b in pairwise(edges)
    ]
    # c_0 = 1 - s̄_1, c_n = s̄_n - s̄_{n+1}, c_m = s̄_m: identity 2 of the kernels, between snapshots.
    used = -np.diff(np.r_[1.0, levels, 0.0]) + 0.0  # no -0
    coefficients = np.zeros(len(given))
    coefficients[[given.index(step) for step in edges]] = used
    realised = np.repeat(levels, np.diff(edges))
    return SnapshotAverage(given, coefficients, begin, target, realised)


def _squared(rates: ArrayLike, window: int, steps: int) -> NDArray[np.float64]:
    """Weights of the steps: squared rates, those before the window with the rate of its first step."""
    given = np.asarray(rates, dtype=np.float64)
    if given.shape != (window,) or not (np.isfinite(given).all() and (given > 0).all()):
        raise ValueError(f"rates must be {window} positive numbers, one for each step of the window")
    return np.r_[np.full(steps - window, given[0]), given] ** 2
