"""Intervals and verdicts.

A verdict is computed: "reproduced" if the interval lies wholly on the side that the criterion asks
for, "not reproduced" if wholly on the other, "undecided" if it straddles. Intervals are percentile
bootstraps over the (seed, branch point) pairs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from sidetrip.config import Claims

Table = pd.DataFrame
Tables = dict[str, Table]
PAIR = ["seed", "branch"]
REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED = "reproduced", "not reproduced", "undecided", "not measured"


@dataclass(frozen=True)
class Measured:
    """A number with its interval, the pairs it rests on, and the verdict.

    `pairs_needed` says, where the row is undecided, how many pairs would decide it if the number stays
    where it is and the interval shrinks with the square root of the pairs.
    """

    value: float
    low: float
    high: float
    n: int
    verdict: str
    detail: str = ""
    pairs_needed: int | None = None


def interval(
    statistic: Callable[..., NDArray[np.float64]], columns: tuple[NDArray[np.float64], ...], claims: Claims
) -> tuple[float, float, float]:
    """Value of a statistic of paired columns, with its bootstrap interval (fixed seed)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*columns, axis=-1))
    if len(columns[0]) < 2:
        return value, -math.inf, math.inf
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # A resample without any gain has no finite ratio; the interval then has no finite end, which says it.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = bootstrap(
            columns,
            statistic,
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=claims.bootstrap_samples,
            confidence_level=claims.confidence,
            rng=np.random.default_rng(0),
            batch=500,
        ).confidence_interval
    return value, float(found.low), float(found.high)


def verdict(low: float, high: float, below: float = math.inf, above: float = -math.inf) -> str:
    """Compare an interval with the open range (above, below) that the criterion asks for."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED
    if above < low and high < below:
        return REPRODUCED
    if high <= above or low >= below:
        return NOT_REPRODUCED
    return UNDECIDED


def mean(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Mean over pairs, as `interval` wants a statistic."""
    return np.mean(values, axis=axis)


def ratio_of_means(top: NDArray[np.float64], bottom: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Mean of one column over the mean of another, of the same pairs."""
    return np.mean(top, axis=axis) / np.mean(bottom, axis=axis)


def pairs_needed(
    value: float, low: float, high: float, n: int, below: float = math.inf, above: float = -math.inf
) -> int | None:
    """Pairs at which an interval of width ∝ 1/√n around the same value no longer holds a limit; None if never."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    needed = n
    for limit in (below, above):
        if not low < limit < high:
            continue
        if value == limit:
            return None
        reach = (high - value) if limit > value else (value - low)
        needed = max(needed, math.ceil(n * (reach / abs(limit - value)) ** 2 - 1e-6))
    return needed


def judged(value: float, low: float, high: float, n: int, **limits: float) -> Measured:
    """Put an interval beside the open range (above, below) that the criterion asks for."""
    found = verdict(low, high, **limits)
    needed = pairs_needed(value, low, high, n, **limits) if found == UNDECIDED else None
    return Measured(value, low, high, n, found, pairs_needed=needed)


def judge_mean(values: NDArray[np.float64], claims: Claims, **limits: float) -> Measured:
    """Judge the mean over pairs against the open range (above, below)."""
    value, low, high = interval(mean, (values,), claims)
    return judged(value, low, high, len(values), **limits)


def judge_ratio(top: NDArray[np.float64], bottom: NDArray[np.float64], claims: Claims, **limits: float) -> Measured:
    """Judge the mean of one column over the mean of another, of the same pairs."""
    value, low, high = interval(ratio_of_means, (top, bottom), claims)
    return judged(value, low, high, len(top), **limits)


def both(parts: Mapping[str, Measured]) -> Measured:
    """All of several criteria together; shows the first of those with the worst verdict and tells them all.

    Reproduced if each part is; not reproduced if any part is not; else undecided.
    """
    order = (NOT_REPRODUCED, UNDECIDED, REPRODUCED)
    shown = min(parts, key=lambda name: order.index(parts[name].verdict))
    needed = [part.pairs_needed for part in parts.values() if part.verdict == UNDECIDED]
    undecided = parts[shown].verdict == UNDECIDED
    detail = f"shown: {shown}; " + "; ".join(
        f"{name} {part.value:.3g} [{part.low:.3g}, {part.high:.3g}]" for name, part in parts.items()
    )
    return replace(
        parts[shown],
        detail=detail,
        pairs_needed=None if not undecided or None in needed else max(n for n in needed if n is not None),
    )
