"""The rules of all verdicts: intervals, tests, and how the parts of a statement are put together.

- The seed is the unit: a quantity is averaged over a seed's late branch points, and all else is Student's over seeds.
- A criterion on a mean is judged by its interval (95 %): "reproduced" if it lies wholly on the side that is asked for,
  "not reproduced" if wholly on another, else "undecided".
- "Equal within a share of the gain": two one-sided tests at `claims.level` (5 %), of (average − trip) − share × gain
  < 0 and (average − trip) + share × gain > 0; "not reproduced" if one of the two is refuted, each at half of the level.
  No ratio is tested, because its denominator may be near 0. If both tests pass, the gain is above 0 at the same level;
  to call something equal it must also be clear of 0 in the interval that is shown, or the ratio beside the verdict
  would be "unbounded".
  Beside it stands whether the gap differs from 0 at all, by its interval: equal; differs from 0, yet within the share;
  differs by more; not known.
- All of several parts: reproduced if each part is (an intersection-union test needs no correction); not reproduced
  if any part is, after Holm's correction.

The limits themselves never move.

References
----------
Schuirmann 1987, two one-sided tests, DOI 10.1007/BF01068419. Berger 1982, intersection-union tests,
DOI 10.1080/00401706.1982.10487790. Fieller 1954, DOI 10.1111/j.2517-6161.1954.tb00159.x. Holm 1979,
https://www.jstor.org/stable/4615733.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import nctdtr, stdtr, stdtrit

from sidetrip.config import Claims
from sidetrip.verdicts.records import (
    DIFFERS,
    EQUAL,
    NOT_KNOWN,
    NOT_REPRODUCED,
    OUTCOMES,
    REPRODUCED,
    UNDECIDED,
    WITHIN,
    Found,
    Interval,
    Measured,
    NotMeasured,
    Table,
    Values,
    joined,
)

MOST_SEEDS = 100  # up to which the seeds that an undecided row needs are counted


def late(table: Table, points: Sequence[int]) -> Table:
    """Rows of the late branch points."""
    return table[table["branch"].isin(points)]


def by_seed(values: pd.Series) -> pd.Series:
    """Mean over all that a seed has, of a series with a level "seed" in its index; what has no number is left out."""
    return values.dropna().groupby(level="seed").mean()


def _mean_and_error(values: Values) -> tuple[float, float]:
    """Mean and its standard error."""
    if not np.isfinite(values).all():
        raise ValueError(f"cannot judge {values}: a judge leaves out what has no number, and says why")
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


def student_interval(values: Values, confidence: float) -> Interval:
    """Student's two-sided interval of a mean; without ends where there are fewer than two values."""
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else math.nan, -math.inf, math.inf)
    mean, error = _mean_and_error(values)
    reach = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def p_above_zero(values: Values) -> float:
    """One-sided p-value of Student's test against "the mean is at most 0"; 1 where one value gives no spread."""
    if len(values) < 2:
        return 1.0
    mean, error = _mean_and_error(values)
    if error == 0.0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(values) - 1, -mean / error))


def fieller(top: Values, bottom: Values, confidence: float) -> Interval:
    """The ratio of two means of the same units, with Fieller's interval; without ends where `bottom` may be 0.

    The interval holds every ratio r for which Student's test keeps "top − r × bottom has mean 0".
    """
    a, b, n = float(top.mean()), float(bottom.mean()), len(top)
    value = a / b if b else math.nan
    if n < 2:
        return Interval(value, -math.inf, math.inf)
    covariance = np.cov(top, bottom, ddof=1) / n
    t2 = float(stdtrit(n - 1, 0.5 + confidence / 2)) ** 2
    lead = b**2 - t2 * float(covariance[1, 1])
    if lead <= 0:
        return Interval(value, -math.inf, math.inf)
    middle = a * b - t2 * float(covariance[0, 1])
    root = math.sqrt(max(0.0, middle**2 - lead * (a**2 - t2 * float(covariance[0, 0]))))
    return Interval(value, (middle - root) / lead, (middle + root) / lead)


def seeds_to_decide(tests: Sequence[Values], level: float, power: float) -> int | None:
    """Seeds at which one-sided tests for a mean above 0 all pass with the power asked for.

    By the noncentral t distribution at the present mean and spread; the tests' chances to miss are added up, so that
    the power is at least what is asked for however they depend on each other.

    Returns
    -------
    int or None
        None: more than `MOST_SEEDS`, or there is no spread to count from.
    """
    if any(len(values) < 2 for values in tests):
        return None
    moments = [(*_mean_and_error(values), len(values)) for values in tests]
    if any(error == 0 and mean <= 0 for mean, error, _ in moments):
        return None
    effects = [mean / (error * math.sqrt(n)) for mean, error, n in moments if error > 0]

    def reached(n: int) -> bool:
        critical = stdtrit(n - 1, 1 - level)
        # Beyond 30 a test cannot miss, and the distribution is not computed there.
        missed = sum(float(nctdtr(n - 1, min(effect * math.sqrt(n), 30.0), critical)) for effect in effects)
        return missed <= 1 - power

    counts = range(2, MOST_SEEDS + 1)
    place = bisect_left(counts, True, key=reached)  # the power grows with the seeds
    return counts[place] if place < len(counts) else None


def _test(
    shown: Interval, holds: Sequence[Values], fails: Sequence[Sequence[Values]], tails: int, level: float, power: float
) -> Measured:
    """Judge a criterion: it holds if each mean of `holds` is above 0, and fails if all means of one of `fails` are.

    That it holds is tested one-sided at the level (1 tail), or as an interval of confidence 1 − level tells (2 tails);
    that it fails, in either of two ways, always at half of the level.
    """
    p_holds = min(1.0, tails * max(p_above_zero(values) for values in holds))
    p_fails = min(1.0, 2 * min(max(p_above_zero(values) for values in way) for way in fails))
    leans = all(values.mean() > 0 for values in holds)
    ways = [(holds, level / tails)] if leans else [(way, level / 2) for way in fails]
    counts = [seeds_to_decide(way, each, power) for way, each in ways]
    return Measured(
        shown,
        len(holds[0]),
        REPRODUCED if p_holds < level else NOT_REPRODUCED if p_fails < level else UNDECIDED,
        p_holds,
        p_fails,
        seeds_needed=min((count for count in counts if count is not None), default=None),
        leans=leans,
    )


def judge_mean(values: Values, claims: Claims, below: float = math.inf, above: float = -math.inf) -> Measured:
    """Judge whether a mean lies in the open range (above, below), by its interval.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per seed.
    claims : Claims
        Confidence and power.
    below, above : float
        The range that the criterion asks for; at least one of them.
    """
    if not len(values):
        raise ValueError("cannot judge a mean of no values: a judge says why there are none")
    margins = [sign * (limit - values) for sign, limit in ((1, below), (-1, above)) if math.isfinite(limit)]
    shown, fails = student_interval(values, claims.confidence), [[-margin] for margin in margins]
    return _test(shown, margins, fails, 2, 1 - claims.confidence, claims.power)


def judge_equal(gap: Values, gain: Values, share: float, claims: Claims) -> Measured:
    """Judge whether a gap is within ± a share of a gain, by two one-sided tests.

    Parameters
    ----------
    gap, gain : ndarray, shape (n,)
        One value per seed, of the same unit. The gain is positive where something is gained; the verdict does not
        depend on the sign of the gap, the ratio does.
    share : float
        Of the gain.
    claims : Claims
        Confidence, level and power.
    """
    if not len(gap):
        raise ValueError("cannot judge a gap of no values: a judge says why there are none")
    margin = share * gain
    # It fails if the gap is beyond the margin whatever the sign of the gain, so that a gain near 0 refutes nothing.
    fails = [[gap - margin, gap + margin], [-gap - margin, margin - gap]]
    shown, ratio = student_interval(gap, claims.confidence), fieller(gap, gain, claims.confidence)
    found = _test(shown, [margin - gap, margin + gap], fails, 1, claims.level, claims.power)
    clear = p_above_zero(gain) * claims.level / ((1 - claims.confidence) / 2)
    p_holds, verdict = max(found.p_holds, min(1.0, clear)), found.verdict
    notes: list[str] = []
    if verdict == REPRODUCED and clear >= claims.level:
        verdict = UNDECIDED
        notes.append("the gain is not clear of 0")
    elif verdict != UNDECIDED and (ratio.has(share) or ratio.has(-share)):
        p = p_holds if verdict == REPRODUCED else found.p_fails
        notes.append(f"decided at p = {p:.2g}, though the {100 * claims.confidence:g} % interval reaches over a limit")
    differs = not shown.has(0.0)
    if verdict == UNDECIDED and differs:
        notes.append("differs from 0; whether by more than the limit is not known")
    outcome = {REPRODUCED: WITHIN if differs else EQUAL, NOT_REPRODUCED: DIFFERS, UNDECIDED: NOT_KNOWN}[verdict]
    return replace(found, verdict=verdict, p_holds=p_holds, ratio=ratio, outcome=outcome, detail=joined(*notes))


def judge_seeds(
    values: pd.Series, claims: Claims, reason: str, below: float = math.inf, above: float = -math.inf
) -> Found:
    """`judge_mean` of the seeds' means of a series, or the reason why there is nothing to judge."""
    means = by_seed(values).to_numpy(float)
    return judge_mean(means, claims, below=below, above=above) if len(means) else NotMeasured(reason)


def holm(p_values: Mapping[str, float], level: float) -> list[str]:
    """Names of the hypotheses that Holm's step-down procedure rejects, the surest first."""
    rejected: list[str] = []
    for name in sorted(p_values, key=lambda name: p_values[name]):
        if p_values[name] >= level / (len(p_values) - len(rejected)):
            break
        rejected.append(name)
    return rejected


def all_of(parts: Mapping[str, Measured], level: float) -> Measured:
    """The verdict on all parts together; the part that decides is shown, and named.

    Reproduced: the part that is least sure decides. Not reproduced: the part that fails most surely. Undecided: the
    part that is least sure to hold. The seeds needed are those of the part that leans to failure and would be decided
    first, or, where all lean to hold, of the part that needs most; several parts together may need a few more.
    """
    failing = holm({name: part.p_fails for name, part in parts.items()}, level)
    holding = [name for name, part in parts.items() if part.verdict == REPRODUCED]
    least_sure = max((name for name in parts if name not in holding), default="", key=lambda name: parts[name].p_holds)
    if failing:
        verdict, shown = NOT_REPRODUCED, failing[0]
    elif not least_sure:
        verdict, shown = REPRODUCED, max(parts, key=lambda name: parts[name].p_holds)
    else:
        verdict, shown = UNDECIDED, least_sure
    counted = f"{len(holding)} of {len(parts)} parts reproduced"
    if failing:
        counted += f", {len(failing)} not"
    alone = [name for name, part in parts.items() if part.verdict == NOT_REPRODUCED]
    if alone and not failing:
        counted += f"; by itself {' and '.join(alone)} would not be, which {len(parts)} parts together do not show"
    return replace(
        parts[shown],
        verdict=verdict,
        outcome=_outcome_of(parts.values(), verdict),
        part=shown,
        p_holds=max(part.p_holds for part in parts.values()),
        p_fails=min(1.0, len(parts) * min(part.p_fails for part in parts.values())),
        seeds_needed=_together([part for part in parts.values() if part.verdict != REPRODUCED]),
        leans=all(part.leans for part in parts.values()),
        detail=joined(counted, parts[shown].detail),
    )


def _outcome_of(parts: Iterable[Measured], verdict: str) -> str:
    """Outcome of all parts together; empty unless all are comparisons for equality."""
    outcomes = [part.outcome for part in parts]
    if not all(outcomes):
        return ""
    open_or_differs = {NOT_REPRODUCED: DIFFERS, UNDECIDED: NOT_KNOWN}
    return open_or_differs.get(verdict) or max(outcomes, key=OUTCOMES.index)


def _together(unsure: Sequence[Measured]) -> int | None:
    """Seeds at which parts that are not shown to hold would decide the whole."""
    against = [part.seeds_needed for part in unsure if not part.leans]
    if against:
        return min((count for count in against if count is not None), default=None)
    counts = [part.seeds_needed for part in unsure]
    return None if None in counts else max(filter(None, counts), default=None)


def failed(found: Found, why: str) -> Found:
    """The measured number, not reproduced for a reason beside it; what was not measured stays so."""
    if isinstance(found, NotMeasured):
        return found
    outcome = DIFFERS if found.outcome else ""
    return replace(
        found, verdict=NOT_REPRODUCED, outcome=outcome, p_fails=0.0, p_holds=1.0, seeds_needed=None, detail=why
    )
