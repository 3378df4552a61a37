"""Intervals, tests and verdicts, by rules that are the same for every statement.

- The seed is the unit: a quantity is averaged over a seed's late branch points, and intervals are Student's over seeds.
- A criterion on a mean: "reproduced" if the interval lies wholly on the side that is asked for, "not reproduced" if
  wholly on the other, "undecided" if it straddles.
- "Equal within a share of the gain": two one-sided tests of gap ± share × gain, never a test of the ratio, whose
  denominator may be near 0. The ratio is shown for reading, with Fieller's interval.
- All of several parts: reproduced if each part is (an intersection-union test needs no correction); not reproduced if
  any part is, after Holm's correction.

References
----------
Schuirmann 1987, two one-sided tests, DOI 10.1007/BF01068419. Berger 1982, intersection-union tests,
DOI 10.1080/00401706.1982.10487790. Fieller 1954, DOI 10.1111/j.2517-6161.1954.tb00159.x. Holm 1979,
https://www.jstor.org/stable/4615733.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import nct
from scipy.stats import t as student

from sidetrip.config import Claims

Table = pd.DataFrame
Tables = Mapping[str, Table]
Values = NDArray[np.float64]
POINT = ["seed", "branch"]
REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED = "reproduced", "not reproduced", "undecided", "not measured"
SEEDS, GROUPS, CLOSED_FORM = "seeds", "simulation groups", "closed form"
MOST_SEEDS = 100  # up to which the seeds that an undecided row needs are counted


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


@dataclass(frozen=True)
class Measured:
    """What decides a statement, or a part of one.

    Attributes
    ----------
    interval : Interval
        The number that is shown.
    n : int
        How many units it rests on.
    verdict : str
        "reproduced", "not reproduced" or "undecided".
    p_holds, p_fails : float
        p-values against the hypotheses that the criterion does not hold, and that it does.
    unit : str
        What n counts.
    quantity : str
        "nats" or "points" (hundredths of the pictures) of a difference; empty for a number without a unit.
    detail : str
        What else a reader should know, in words.
    part : str
        The part of the criterion that the number belongs to, if there are several.
    ratio : Interval or None
        Gap over gain, where two models are compared.
    seeds_needed : int or None
        Of an undecided row: seeds at which the test would decide with the power asked for, at the present mean and
        spread; None: more than `MOST_SEEDS`.
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


@dataclass(frozen=True)
class NotMeasured:
    """A statement that these tables cannot decide, and why."""

    reason: str


Judged = Mapping[str, Measured | NotMeasured]


def by_seed(values: pd.Series) -> pd.Series:
    """Mean over all that a seed has, of a series with a level "seed" in its index; what has no number is left out."""
    return values.dropna().groupby(level="seed").mean()


def _moments(values: Values) -> tuple[float, float, int]:
    """Mean, its standard error, degrees of freedom."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n), n - 1


def student_interval(values: Values, confidence: float) -> Interval:
    """Student's interval of a mean; without ends where there are fewer than two values."""
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else math.nan, -math.inf, math.inf)
    mean, error, freedom = _moments(values)
    reach = float(student.ppf(0.5 + confidence / 2, freedom)) * error
    return Interval(mean, mean - reach, mean + reach)


def p_below(values: Values, limit: float) -> float:
    """One-sided p-value against "the mean is at least `limit`"."""
    if len(values) < 2:
        return 1.0
    mean, error, freedom = _moments(values)
    if error == 0.0:
        return 0.0 if mean < limit else 1.0
    return float(student.cdf((mean - limit) / error, freedom))


def p_above(values: Values, limit: float) -> float:
    """One-sided p-value against "the mean is at most `limit`"."""
    return p_below(-values, -limit)


def seeds_to_decide(values: Values, limit: float, level: float, power: float) -> int | None:
    """Seeds at which a one-sided test at `level` finds that the mean is not at `limit`, with the power asked for.

    By the noncentral t distribution, at the present mean and spread; None: more than `MOST_SEEDS`.
    """
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    effect = abs(float(values.mean()) - limit) / spread if spread > 0 else math.nan
    if not math.isfinite(effect):
        return None
    n = np.arange(2, MOST_SEEDS + 1)
    reached = nct.sf(student.ppf(1 - level, n - 1), n - 1, effect * np.sqrt(n)) >= power
    return int(n[reached][0]) if reached.any() else None


def _most(needed: list[int | None]) -> int | None:
    known = [n for n in needed if n is not None]
    return max(known) if known and len(known) == len(needed) else None


def judge_mean(values: Values, claims: Claims, below: float = math.inf, above: float = -math.inf) -> Measured:
    """Judge whether a mean lies in the open range (above, below), by its interval.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per seed.
    claims : Claims
        Confidence and power.
    below, above : float
        The range that the criterion asks for; without limits the mean is measured and not judged.
    """
    interval = student_interval(values, claims.confidence)
    tail = (1 - claims.confidence) / 2
    limits = [(below, p_below(values, below), p_above(values, below))] if math.isfinite(below) else []
    limits += [(above, p_above(values, above), p_below(values, above))] if math.isfinite(above) else []
    p_holds = max((holds for _, holds, _ in limits), default=1.0)
    p_fails = min(1.0, 2 * min((fails for _, _, fails in limits), default=1.0))
    verdict = REPRODUCED if p_holds < tail else NOT_REPRODUCED if p_fails < 1 - claims.confidence else UNDECIDED
    needed = _most([seeds_to_decide(values, limit, tail, claims.power) for limit, _, _ in limits])
    return Measured(interval, len(values), verdict, p_holds, p_fails, seeds_needed=needed)


def fieller(top: Values, bottom: Values, confidence: float) -> Interval:
    """The ratio of two means of the same units, with Fieller's interval; without ends where `bottom` may be 0."""
    a, b, n = float(top.mean()), float(bottom.mean()), len(top)
    value = a / b if b else math.nan
    if n < 2:
        return Interval(value, -math.inf, math.inf)
    covariance = np.cov(top, bottom, ddof=1) / n
    t2 = float(student.ppf(0.5 + confidence / 2, n - 1)) ** 2
    lead = b**2 - t2 * float(covariance[1, 1])
    if lead <= 0:
        return Interval(value, -math.inf, math.inf)
    middle = a * b - t2 * float(covariance[0, 1])
    root = math.sqrt(max(0.0, middle**2 - lead * (a**2 - t2 * float(covariance[0, 0]))))
    return Interval(value, (middle - root) / lead, (middle + root) / lead)


def judge_within(gap: Values, margin: Values, claims: Claims, gain: Values | None = None) -> Measured:
    """Judge whether a gap is within ± a margin, by two one-sided tests at `claims.level`.

    Parameters
    ----------
    gap, margin : ndarray, shape (n,)
        One value per seed; the margin may vary with the seed, as a share of a gain does.
    claims : Claims
        Level, confidence, power.
    gain : ndarray of shape (n,), optional
        What the ratio that is shown divides by.
    """
    # A gain that is lost on the whole leaves no room: the tests below then cannot both pass.
    outer = margin if margin.mean() >= 0 else -margin
    p_holds = max(p_below(gap - margin, 0.0), p_above(gap + margin, 0.0))
    p_fails = min(1.0, 2 * min(p_above(gap - outer, 0.0), p_below(gap + outer, 0.0)))
    verdict = REPRODUCED if p_holds < claims.level else NOT_REPRODUCED if p_fails < claims.level else UNDECIDED
    needed = [seeds_to_decide(gap + sign * margin, 0.0, claims.level, claims.power) for sign in (-1, 1)]
    return Measured(
        student_interval(gap, claims.confidence),
        len(gap),
        verdict,
        p_holds,
        p_fails,
        ratio=None if gain is None else fieller(gap, gain, claims.confidence),
        seeds_needed=_most(needed),
    )


def judge_equal(gap: Values, gain: Values, share: float, claims: Claims) -> Measured:
    """Judge whether a gap is within a share of a gain (positive where something is gained)."""
    return judge_within(gap, share * gain, claims, gain)


def all_of(parts: Mapping[str, Measured], level: float) -> Measured:
    """The verdict on all parts together; the part that decides is shown, and named."""
    least_sure = max(parts, key=lambda name: parts[name].p_holds)
    surest_failure = min(parts, key=lambda name: parts[name].p_fails)
    if all(part.verdict == REPRODUCED for part in parts.values()):
        verdict, shown = REPRODUCED, least_sure
    elif parts[surest_failure].p_fails < level / len(parts):  # Holm's first step, which decides whether any fails
        verdict, shown = NOT_REPRODUCED, surest_failure
    else:
        verdict, shown = UNDECIDED, least_sure
    open_parts = [part.seeds_needed for part in parts.values() if part.verdict == UNDECIDED]
    return replace(
        parts[shown],
        verdict=verdict,
        part=shown,
        p_holds=parts[least_sure].p_holds,
        p_fails=min(1.0, len(parts) * parts[surest_failure].p_fails),
        seeds_needed=_most(open_parts) if verdict == UNDECIDED else None,
        detail=_counted(parts) + (f"; {parts[shown].detail}" if parts[shown].detail else ""),
    )


def _counted(parts: Mapping[str, Measured]) -> str:
    holding = sum(part.verdict == REPRODUCED for part in parts.values())
    return f"{holding} of {len(parts)} parts reproduced"


def failed(found: Measured, why: str) -> Measured:
    """The measured number, not reproduced for a reason beside it."""
    return replace(found, verdict=NOT_REPRODUCED, p_fails=0.0, p_holds=1.0, seeds_needed=None, detail=why)


def late(table: Table, points: list[int]) -> Table:
    """Rows of the late branch points."""
    return table[table["branch"].isin(points)]
