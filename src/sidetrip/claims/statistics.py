"""Intervals and verdicts.

A verdict is computed: "reproduced" if the interval lies wholly on the side that the criterion asks
for, "not reproduced" if wholly on the other, "undecided" if it straddles. Intervals are percentile
bootstraps over the (seed, branch point) pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
    """A number with its interval, the pairs it rests on, and the verdict."""

    value: float
    low: float
    high: float
    n: int
    verdict: str
    detail: str = ""


def interval(
    statistic: Callable[..., NDArray[np.float64]], columns: tuple[NDArray[np.float64], ...], claims: Claims
) -> tuple[float, float, float]:
    """Value of a statistic of paired columns, with its bootstrap interval (fixed seed)."""
    value = float(statistic(*columns, axis=-1))
    if len(columns[0]) < 2:
        return value, -math.inf, math.inf
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


def judge_mean(values: NDArray[np.float64], claims: Claims, **limits: float) -> Measured:
    """Judge the mean over pairs against the open range (above, below)."""
    value, low, high = interval(mean, (values,), claims)
    return Measured(value, low, high, len(values), verdict(low, high, **limits))
