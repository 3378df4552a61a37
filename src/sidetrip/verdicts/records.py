"""The vocabulary of verdicts: what a judge returns, and how it is named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Table = pd.DataFrame
Tables = Mapping[str, Table]
Values = NDArray[np.float64]
POINT = ["seed", "branch"]
REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED = "reproduced", "not reproduced", "undecided", "not measured"
# Outcomes of a comparison for equality; the first two are "reproduced".
EQUAL, WITHIN, DIFFERS, NOT_KNOWN = "equal", "differs within a quarter", "differs", "not known"
OUTCOMES = (EQUAL, WITHIN, DIFFERS, NOT_KNOWN)
SEEDS, GROUPS, CLOSED_FORM = "seeds", "simulation groups", "closed form"


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval; the ends may be infinite."""

    value: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def has(self, number: float) -> bool:
        """Whether a number lies in the interval."""
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Regime:
    """Where a row was measured; what does not apply is None.

    Attributes
    ----------
    rate_over_batch : float or None
        λ/B, mean over the late branch points.
    window_over_branch, window_over_branch_least : float or None
        Steps of the widest window ÷ branch step: largest and smallest over the late branch points.
    fall_over_gain : float or None
        Fall of the momentary validation loss over that window ÷ what the average gains; None if it gains nothing.
    trip_over_branch : float or None
        Steps of a trip without an average ÷ branch step, largest over the late branch points.
    """

    rate_over_batch: float | None = None
    window_over_branch: float | None = None
    window_over_branch_least: float | None = None
    fall_over_gain: float | None = None
    trip_over_branch: float | None = None


@dataclass(frozen=True)
class Measured:
    """What decides a statement, or a part of one.

    Attributes
    ----------
    interval : Interval
        The number that is shown; its ends are infinite where one unit gives no interval.
    n : int
        How many units it rests on.
    verdict : str
        "reproduced", "not reproduced" or "undecided".
    p_holds, p_fails : float
        p-values against "the criterion does not hold" and against "it holds".
    unit : str
        What n counts: "seeds", "simulation groups" or "closed form".
    quantity : str
        "nats" or "points" (hundredths of the pictures) of a difference; empty for a number without a unit.
    detail : str
        What else a reader should know, in words.
    part : str
        The part of the criterion that the number belongs to, if there are several.
    ratio : Interval or None
        For reading: how far an average is behind its trip ÷ what it gains, with Fieller's interval.
    seeds_needed : int or None
        Units at which the tests would decide with the power asked for, at the present mean and spread; None: more
        than `statistics.MOST_SEEDS`, or no spread to count from. Of use for undecided rows alone.
    outcome : str
        Of a comparison for equality, one of `OUTCOMES`; empty for other criteria.
    leans : bool
        Whether the criterion holds for the mean itself.
    regime : Regime
        Where it was measured.
    """

    interval: Interval
    n: int
    verdict: str
    p_holds: float = 1.0
    p_fails: float = 1.0
    unit: str = SEEDS
    quantity: str = ""
    detail: str = ""
    part: str = ""
    ratio: Interval | None = None
    seeds_needed: int | None = None
    outcome: str = ""
    leans: bool = True
    regime: Regime = field(default_factory=Regime)


@dataclass(frozen=True)
class NotMeasured:
    """A statement that these tables cannot decide, and why."""

    reason: str
    regime: Regime = field(default_factory=Regime)


def joined(*parts: str) -> str:
    """Details as one, the empty ones left out."""
    return "; ".join(filter(None, parts))


Found = Measured | NotMeasured
Judged = Mapping[str, Found]
