"""The multi-power law: the loss of a run along any schedule of its rate, from runs along other schedules.

With η_i the rate of step i, S the sum of all rates so far and S_k that of the steps from k on,

    L = L0 + A S^-α - B Σ_k (η_{k-1} - η_k) (1 - (1 + C η_k^-γ S_k)^-β).

The sum is over the steps at which the rate falls. Here η is relative to the rate at which the run trains.

References
----------
Luo, Wen, Hu, Sun, Liu, Sun, Lyu, Chen, "A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules",
ICLR 2025. DOI 10.48550/arXiv.2503.12811.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sidetrip.kernels import DECAYS
from sidetrip.loss_forecast import CoolDown, Losses

Vector = NDArray[np.float64]
# Of L0, log A, α, log B, log C, β, γ. Rates are relative and losses of order 1, so what is reduced lies within them.
LOWEST = np.array([0.0, -12.0, 0.01, -12.0, -14.0, 0.01, 0.0])
HIGHEST = np.array([20.0, 12.0, 3.0, 5.0, 5.0, 3.0, 1.0])
BEGIN = (0.3, 0.8)  # shares of the lowest loss at which fits begin
OUTLIER = 1e-3  # relative error of a loss from which it counts linearly, as in the paper
EVALUATIONS = 200  # of one fit, at most
FITTED_TO = 4  # decimals of a fitted loss; a fit by iteration has no more that are the same everywhere


class Schedules(NamedTuple):
    """What the law takes of some schedules.

    Attributes
    ----------
    total : ndarray, shape (schedules,)
        Sum of the rates.
    of, falls, rates, sums : ndarray, shape (falls,)
        Of each step at which a rate falls, but not to 0: the number of its schedule, by how much, to which rate, S_k.
    """

    total: Vector
    of: NDArray[np.int64]
    falls: Vector
    rates: Vector
    sums: Vector

    def summed(self, terms: Vector) -> Vector:
        """Sum of the terms of the falls of each schedule."""
        return np.bincount(self.of, terms, len(self.total)).astype(np.float64)


def schedules_of(ways: Sequence[Vector]) -> Schedules:
    """Reduce the rates of the steps 1..n of each schedule, relative to that at which the run trains."""
    parts = []
    for number, rates in enumerate(ways):
        sums = np.cumsum(rates[::-1])[::-1]
        at = np.flatnonzero((np.diff(rates) < 0.0) & (rates[1:] > 0.0))  # at a rate of 0 nothing is reduced
        parts.append((np.full(len(at), number), rates[at] - rates[at + 1], rates[at + 1], sums[at + 1]))
    of, falls, rates, sums = map(np.concatenate, zip(*parts, strict=True))
    return Schedules(np.array([rates.sum() for rates in ways]), of, falls, rates, sums)


def losses(numbers: Vector, schedules: Schedules) -> Vector:
    """The law's loss at the end of each schedule, with its seven numbers in the order of `LOWEST`."""
    level, log_a, alpha, log_b, log_c, beta, gamma = numbers
    reduced = 1.0 - (1.0 + np.exp(log_c) * schedules.rates**-gamma * schedules.sums) ** -beta
    gained = np.exp(log_b) * schedules.summed(schedules.falls * reduced)
    return np.asarray(level + np.exp(log_a) * schedules.total**-alpha - gained)


def slopes(numbers: Vector, schedules: Schedules) -> Vector:
    """Derivatives of `losses` by the seven numbers, shape (schedules, 7)."""
    _, log_a, alpha, log_b, log_c, beta, gamma = numbers
    power = np.exp(log_a) * schedules.total**-alpha
    grown = np.exp(log_c) * schedules.rates**-gamma * schedules.sums
    weights = np.exp(log_b) * schedules.falls
    kept = (1.0 + grown) ** -beta
    by_grown = weights * beta * kept * grown / (1.0 + grown)
    return np.stack(
        [
            np.ones_like(power),
            power,
            -power * np.log(schedules.total),
            -schedules.summed(weights * (1.0 - kept)),
            -schedules.summed(by_grown),
            -schedules.summed(weights * kept * np.log1p(grown)),
            schedules.summed(by_grown * np.log(schedules.rates)),
        ],
        axis=1,
    )


def fits(seen: Vector) -> bool:
    """Whether the law can be fitted to such losses: they are above 0, and its beginning lies between its bounds."""
    return bool(seen.min() > 0.0 and BEGIN[1] * seen.min() <= HIGHEST[0] and -HIGHEST[1] <= np.log(seen.min()))


def fit(schedules: Schedules, seen: Vector) -> Vector:
    """The numbers of the law nearest to losses above 0 that were `seen`, by Huber's loss of their relative errors.

    Each loss has a schedule: of the whole way to it.
    """
    lowest = float(seen.min())
    fits = [
        least_squares(
            lambda numbers: losses(numbers, schedules) / seen - 1.0,
            np.array([share * lowest, np.log(lowest), 0.3, -1.0, np.log(0.03), 0.5, 0.5]),
            jac=lambda numbers: slopes(numbers, schedules) / seen[:, None],
            bounds=(LOWEST, HIGHEST),
            loss="huber",
            f_scale=OUTLIER,
            max_nfev=EVALUATIONS,
        )
        for share in BEGIN
    ]
    return np.asarray(min(fits, key=lambda found: float(found.cost)).x)


def warmed_up(steps: int, warm_up: int) -> Vector:
    """The rates of the steps 1..n of a run that rises to its rate over `warm_up` steps, relative to that rate."""
    return np.minimum(1.0, np.arange(1, steps + 1) / max(1, warm_up))


def predicted(
    rates: Vector, seen: Losses, cool_downs: Sequence[CoolDown], at: int, decays: Sequence[tuple[str, int]]
) -> list[float]:
    """Losses in nats at the end of decays of a run, by the law fitted to what the run had shown before.

    Parameters
    ----------
    rates : ndarray, shape (n,)
        Of the steps 1..n of the run, relative to that at which it trains.
    seen : Losses
        Of the run, above 0.
    cool_downs : sequence of CoolDown
        That had ended.
    at : int
        Step at which the decays begin.
    decays : sequence of (str, int)
        Shape and steps of each.
    """

    def decayed(begin: int, shape: str, over: int) -> Vector:
        return np.r_[rates[:begin], rates[begin : begin + over] * DECAYS[shape](over).multipliers]

    ways = [rates[: int(step)] for step in seen.steps]
    ways += [decayed(each.start, each.shape, each.over) for each in cool_downs]
    law = fit(schedules_of(ways), np.r_[seen.values, [each.loss for each in cool_downs]])
    wanted = schedules_of([decayed(at, *each) for each in decays])
    return [round(float(loss), FITTED_TO) for loss in losses(law, wanted)]
