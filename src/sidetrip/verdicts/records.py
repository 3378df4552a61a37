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
    """Where a row was measured, by the late branch points; what does not apply is None."""

    rate_over_batch: float | None = None  # λ/B, mean over the branch points
    window_over_branch: float | None = None  # steps of the widest window ÷ branch step, the largest
    window_over_branch_least: float | None = None  # and the smallest
    fall_over_gain: float | None = None  # fall of the momentary validation loss over that window ÷ gain of the average
    trip_over_branch: float | None = None  # steps of a trip without an average ÷ branch step, the largest


@dataclass(frozen=True)
class Measured:
    """What decides a statement, or a part of one."""

    interval: Interval  # the number that is shown; its ends are infinite where one unit gives no interval
    n: int  # how many units it rests on
    verdict: str  # REPRODUCED, NOT_REPRODUCED or UNDECIDED
    p_holds: float = 1.0  # p-value against "the criterion does not hold"
    p_fails: float = 1.0  # p-value against "it holds"
    unit: str = SEEDS  # what n counts: SEEDS, GROUPS or CLOSED_FORM
    quantity: str = ""  # "nats" or "points" (hundredths of the pictures) of a difference; of other numbers empty
    detail: str = ""  # what else a reader should know, in words
    part: str = ""  # the part of the criterion that the number belongs to, if there are several
    ratio: Interval | None = None  # for reading: how far the average is behind its trip ÷ gain, by Fieller
    # Units at which the tests would decide with the power asked for, at the present mean and spread; None: more than
    # `statistics.MOST_SEEDS`, or no spread to count from. Of use for undecided rows alone.
    seeds_needed: int | None = None
    outcome: str = ""  # of a comparison for equality one of `OUTCOMES`
    leans: bool = True  # whether the criterion holds for the mean itself
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
