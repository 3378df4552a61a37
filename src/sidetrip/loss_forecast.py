"""The loss that a decay of the learning rate, begun now, would end at: merged loss, plus drift, plus correction.

The merged loss is that of the run's snapshots, averaged so that they stand for such a decay that ends now. The
correction is the mean of what earlier cool-downs, alike in shape and length, ended at, minus what the first two gave
for them from the losses up to their start; it needs `LEAST` of them.

The drift: merged losses fall as one over the root of the step does, a straight line over x(t) = -2 / √t. The line is
fitted by least squares to the losses of the last `WINDOWS` windows, and the newest loss is carried along it: with b the
slope, forecast = loss(t) + b (x(t + k) - x(t)). How far such forecasts were off on the run's own past, at earlier steps
one window apart, each from what lay before alone, tells how far off this one may be. Where the past is too short for
that, residuals tell it, and how far apart other powers of the step carry the loss, from log t to 1 / t.

References
----------
Abramowitz, Stegun 1964, Handbook of Mathematical Functions, eq. 26.7.3 and 26.7.4, for Student's distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

CONFIDENCE = 0.9  # of intervals
WINDOWS = 8  # the fit looks back over so many windows
LEAST_POINTS = 4  # of a fit; its residuals then have 2 degrees of freedom
LEAST = 3  # errors that a mean or an interval can rest on
POWER = 0.5  # losses run along a straight line over step ** -POWER
POWERS = (0.0, 1.0)  # others that losses may follow; 0 is the logarithm
ALLOWANCE = 0.25  # of what merging gains: so far may a cool-down end from merged snapshots, where none was run
MOST_ERRORS = 20  # of the run's past; older ones say little about now


class TooFewLossesError(ValueError):
    """There are too few losses for a fit; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses of a run."""

    steps: Vector  # ascending, each at least 1, shape (n,)
    values: Vector  # in nats, shape (n,)

    def until(self, step: float) -> Losses:
        """Those up to a step."""
        known = self.steps <= step
        return Losses(self.steps[known], self.values[known])


def scaled(steps: Vector | float, power: float) -> Vector:
    """x = -step^-p / p, which rises with the step; its limit for p = 0, up to a constant, is log step."""
    return np.asarray(np.log(steps) if power == 0 else -(np.asarray(steps) ** -power) / power)


@dataclass(frozen=True)
class Fit:
    """A straight line over a power of the step, fitted to losses."""

    power: float  # p of x = -step^-p / p
    begin: float  # first and last step of the losses
    end: float
    points: int
    middle: float  # mean of x
    level: float  # mean of the losses
    slope: float  # change of the loss by x
    spread: float  # Σ (x - middle)²
    residual: float  # standard deviation of the residuals, with points - 2 degrees of freedom

    def at(self, step: float) -> float:
        """The loss on the line."""
        return self.level + self.slope * (self._x(step) - self.middle)

    def change(self, target: float) -> float:
        """What the loss changes by from the newest step to a later one."""
        return self.slope * self._ahead(target)

    def error(self, target: float) -> float:
        """Standard error of the newest loss carried along the line to a later step, for independent residuals.

        The residuals of the newest loss and of the later one count, the slope's own error, and that the newest loss
        has a part in the slope: σ² (2 + 2 h (x(t) - x̄) / S + h² / S), with h the way in x and S the spread.
        """
        ahead, beyond = self._ahead(target), self._x(self.end) - self.middle
        return self.residual * math.sqrt(2 + (2 * beyond + ahead) * ahead / self.spread)

    def step_of(self, loss: float) -> float:
        """The step at which the line over a power above 0 reaches a loss; infinite where it never comes down to it."""
        if self.slope >= 0 or (x := self.middle + (loss - self.level) / self.slope) >= 0:
            return math.inf
        with np.errstate(over="ignore"):
            return float(np.float64(-self.power * x) ** (-1 / self.power))

    def _x(self, step: float) -> float:
        return float(scaled(step, self.power))

    def _ahead(self, target: float) -> float:
        return self._x(target) - self._x(self.end)


def fitted(losses: Losses, over: int, power: float = POWER) -> Fit:
    """The line through the losses of the last `WINDOWS` windows of `over` steps, over a power of the step.

    Raises
    ------
    TooFewLossesError
        If they are too few, or cover too few steps.
    """
    if not len(losses.steps):
        raise TooFewLossesError("no losses; a fit needs some")
    recent = losses.steps >= losses.steps[-1] - WINDOWS * over
    steps, values = losses.steps[recent], losses.values[recent]
    begin, end = float(steps[0]), float(steps[-1])
    if len(steps) < LEAST_POINTS or end - begin < over:
        raise TooFewLossesError(
            f"{len(steps)} losses over the {end - begin:g} steps up to step {end:g}; a decay over {over} steps needs "
            f"at least {LEAST_POINTS}, over {over} steps of the run or more"
        )
    x = scaled(steps, power)
    middle, level = float(x.mean()), float(values.mean())
    spread = float(((x - middle) ** 2).sum())
    slope = float((x - middle) @ (values - level)) / spread
    left = values - level - slope * (x - middle)
    residual = math.sqrt(float(left @ left) / (len(x) - 2))
    return Fit(power, begin, end, len(x), middle, level, slope, spread, residual)


def past_errors(losses: Losses, over: int) -> Vector:
    """Loss minus forecast at earlier steps at least one window apart, the newest first; each fit saw its past alone."""
    found: list[float] = []
    target = len(losses.steps) - 1
    while target > 0 and len(found) < MOST_ERRORS:
        step = losses.steps[target]
        past = losses.until(step - over)
        try:
            change = fitted(past, over).change(step)
        except TooFewLossesError:
            break
        found.append(float(losses.values[target] - (past.values[-1] + change)))
        target = len(past.steps) - 1
    return np.array(found)


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's distribution above its median, for a whole number of degrees of freedom.

    With t = √ν tan θ the probability of [-t, t] is a finite sum in sin θ and cos θ, which is inverted by bisection.
    """
    wanted, low, high = 2 * probability - 1, 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, freedom) < wanted else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """Probability of [-√ν tan θ, √ν tan θ] (Abramowitz and Stegun, eq. 26.7.3 for odd ν, 26.7.4 for even ν)."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(2 + odd, freedom + 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power - 1) / power
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


@dataclass(frozen=True)
class CoolDown:
    """A decay of the learning rate to 0 that was run: its first step, its length, its shape, and its loss in nats."""

    start: int
    over: int
    shape: str
    loss: float


@dataclass(frozen=True)
class Interval:
    """What lies around a forecast, and what that rests on: so many values of a kind."""

    low: float
    high: float
    rests_on: str
    n: int


@dataclass(frozen=True)
class Forecast:
    """The loss that a decay begun now would end at; losses are in nats."""

    decay: str  # its shape
    over_steps: int
    at_step: int  # at which it begins
    momentary: float  # the newest loss of the run, and of its merged snapshots
    merged: float
    drift: float  # what is added to `merged`
    correction: float
    loss: float  # the sum
    cool_downs: int  # earlier ones that the correction is the mean of; 0 where they were too few
    left_out: dict[str, int]  # other earlier cool-downs that had ended: how many, by reason
    interval: Interval  # around `loss`
    fit: Fit  # of the merged losses
    momentary_fit: Fit
    gain: float  # what merging gains now, by the two lines; 0 if it gains nothing

    @property
    def steps_at_constant_rate(self) -> tuple[int | None, int | None, int | None]:
        """Steps of the run at its rate for the same loss, and for the high and the low end of the interval.

        By the line through the momentary losses; None where it takes more steps than the run has had.
        """
        loss, high, low = map(self._steps_for, (self.loss, self.interval.high, self.interval.low))
        return loss, high, low

    def _steps_for(self, loss: float) -> int | None:
        if loss >= self.momentary_fit.at(self.at_step):
            return 0
        found = self.momentary_fit.step_of(loss) - self.at_step
        return math.ceil(found) if found <= self.at_step else None


def drifted(merged: Losses, at: int, over: int) -> tuple[float, Fit]:
    """The newest merged loss carried along its drift to the end of a decay, and the fit.

    Raises
    ------
    TooFewLossesError
        If there are too few losses, or none within the last `over` steps.
    """
    fit = fitted(merged, over)
    if fit.end < at - over:
        raise TooFewLossesError(f"the newest loss is of step {fit.end:g}, more than {over} steps before step {at}")
    return float(merged.values[-1]) + fit.change(at + over), fit


def learned(merged: Losses, cool_downs: Sequence[CoolDown], decay: str, over: int) -> tuple[Vector, dict[str, int]]:
    """Real minus forecast of each earlier cool-down like this one, if enough are; how many are not used, by reason."""
    alike = [found for found in cool_downs if (found.shape, found.over) == (decay, over)]
    errors = []
    for found in alike:
        try:
            errors.append(found.loss - drifted(merged.until(found.start), found.start, over)[0])
        except TooFewLossesError:
            continue
    reasons = {
        "of another shape or length": len(cool_downs) - len(alike),
        "with too few losses before them": len(alike) - len(errors),
    }
    if len(errors) < LEAST:
        reasons["fewer than needed"] = len(errors)
        errors = []
    return np.array(errors), {reason: count for reason, count in reasons.items() if count}


def interval_of(
    loss: float, gaps: Vector, merged: Losses, fit: Fit, over: int, target: int, allowance: float
) -> Interval:
    """Student's prediction interval around a forecast: from cool-downs, else from the run's past, else from the fit.

    Without cool-downs it is widened by an allowance, and where it rests on the fit by the law's own error: in
    quadrature, for these parts are independent.
    """
    probability = (1 + CONFIDENCE) / 2
    if n := len(gaps):
        reach = student_quantile(probability, n - 1) * float(gaps.std(ddof=1)) * math.sqrt(1 + 1 / n)
        return Interval(loss - reach, loss + reach, "errors for earlier cool-downs", n)
    past = past_errors(merged, over)
    if (n := len(past)) >= LEAST:
        rests_on = "errors on the run's own past"
        reach = student_quantile(probability, n) * float(np.sqrt((past**2).mean()))
    else:
        rests_on, n = "residuals of the fit", fit.points
        drifts = [fitted(merged, over, power).change(target) for power in POWERS]
        law_error = (max(drifts) - min(drifts)) / 2
        reach = math.hypot(student_quantile(probability, n - 2) * fit.error(target), law_error)
    reach = math.hypot(reach, allowance)
    return Interval(loss - reach, loss + reach, rests_on, n)


def forecast(
    momentary: Losses, merged: Losses, cool_downs: Sequence[CoolDown], at: int, over: int, decay: str
) -> Forecast:
    """Forecast the loss that a decay of `over` steps from step `at` on would end at.

    Parameters
    ----------
    momentary, merged : Losses
        Of the run and of its snapshots merged for this decay, none after `at`.
    cool_downs : sequence of CoolDown
        That had ended by then.

    Raises
    ------
    TooFewLossesError
        If there are too few losses.
    """
    carried, fit = drifted(merged, at, over)
    gaps, left_out = learned(merged, cool_downs, decay, over)
    correction = float(gaps.mean()) if len(gaps) else 0.0
    loss, now = carried + correction, float(merged.values[-1])
    momentary_fit = fitted(momentary, over)
    gain = max(0.0, momentary_fit.at(at) - fit.at(at))
    return Forecast(
        decay=decay,
        over_steps=over,
        at_step=at,
        momentary=float(momentary.values[-1]),
        merged=now,
        drift=carried - now,
        correction=correction,
        loss=loss,
        cool_downs=len(gaps),
        left_out=left_out,
        interval=interval_of(loss, gaps, merged, fit, over, at + over, ALLOWANCE * gain),
        fit=fit,
        momentary_fit=momentary_fit,
        gain=gain,
    )
