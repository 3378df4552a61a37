"""Statements about the analytic model (Fig. 4, 9, 11, Lemma 1, Lemma 2, App. A of DOI 10.48550/arXiv.2301.02312).

These rows need no data, so they have no regime. Intervals are Student's, over independent groups of replicas.
Where a row rests on several of them, each is widened (Bonferroni) so that together they hold at the confidence
asked for: a true statement then passes as often as one with a single interval.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import (
    CLOSED_FORM,
    GROUPS,
    NOT_REPRODUCED,
    REPRODUCED,
    Found,
    Interval,
    Judged,
    Measured,
    NotMeasured,
    Table,
    Tables,
    joined,
)
from sidetrip.verdicts.statistics import all_of, judge_mean, student_interval

SETTLED = 0.25  # last share of the steps, whose mean is taken for the stationary loss
FORGOTTEN = 4  # lengths of the EMA after which its start weighs less than 2 %
FEWEST = 3  # rows that a decay rate needs


def monte_carlo(values: np.ndarray, confidence: float, together: int = 1) -> Interval:
    """Mean over independent groups with its interval, one of so many that hold together."""
    return student_interval(values, 1 - (1 - confidence) / together)


def _verdict(good: bool) -> str:
    return REPRODUCED if good else NOT_REPRODUCED


def radius_slopes(lemma_1: Table) -> Table:
    """Log-log slope of stationary radius against rate; columns model, group, slope."""
    rows = []
    for (model, group), rows_here in lemma_1.groupby(["model", "group"]):
        x, y = np.log(rows_here["rate"]), 0.5 * np.log(rows_here["mean_square_radius"])
        rows.append((model, group, np.polyfit(x, y, 1)[0]))
    return pd.DataFrame(rows, columns=["model", "group", "slope"])


def _stationary_radius(lemma_1: Table, confidence: float) -> Measured:
    exact = lemma_1[lemma_1["model"] == "identity"]
    together = exact["rate"].nunique() + 2
    slopes = {
        model: monte_carlo(rows["slope"].to_numpy(), confidence, together)
        for model, rows in radius_slopes(lemma_1).groupby("model")
    }
    ratios = [
        monte_carlo((rows["mean_square_radius"] / rows["exact"]).to_numpy(), confidence, together)
        for _, rows in exact.groupby("rate")
    ]
    good = all(slope.has(0.5) for slope in slopes.values()) and all(ratio.has(1.0) for ratio in ratios)
    detail = (
        f"slope for A = I; random A: {slopes['random'].value:.3f}; squared radius over λ/(2 - λ)·E‖c‖²: "
        f"{min(r.value for r in ratios):.3f} to {max(r.value for r in ratios):.3f}"
    )
    return Measured(slopes["identity"], int(lemma_1["group"].nunique()), _verdict(good), unit=GROUPS, detail=detail)


def _largest(values: pd.Series, limit: float, detail: str) -> Found:
    """An identity: its largest error is number and interval at once."""
    worst = float(values.to_numpy().max())
    if not math.isfinite(worst):
        return NotMeasured("a difference is not a finite number: look for a defect")
    return Measured(
        Interval(worst, worst, worst), len(values), _verdict(worst < limit), unit=CLOSED_FORM, detail=detail
    )


def _midpoint_inside(ratios: Table, confidence: float) -> Measured:
    found = monte_carlo(ratios["ratio"].to_numpy(), confidence)
    detail = f"1/√2 = {math.sqrt(0.5):.4f}"
    return Measured(found, len(ratios), _verdict(found.has(math.sqrt(0.5))), unit=GROUPS, detail=detail)


def decay_rates(table: Table, ema_steps: int) -> Table:
    """Decay rate per step of what the slow coordinate's loss has above its stationary level; a row per group.

    For noise that is white, that part falls exactly exponentially, at 2λκ. The slope of its logarithm is taken from
    where the EMA has forgotten its start to where the large rate's loss is twice its stationary level. Empty where
    there are fewer than three rows between.
    """
    slow = table[table["coordinate"] == "slow"].pivot_table(index="step", columns=["run", "group"], values="loss")
    level = slow[slow.index >= (1 - SETTLED) * slow.index.max()].mean()
    large = table[(table["coordinate"] == "slow") & (table["run"] == "large_rate")].groupby("step")["loss"].mean()
    settled = large[large <= 2 * large[large.index >= (1 - SETTLED) * large.index.max()].mean()].index.min()
    inside = (slow - level)[(slow.index >= FORGOTTEN * ema_steps) & (slow.index <= settled)]
    if len(inside) < FEWEST or (inside <= 0).any(axis=None):
        return pd.DataFrame()
    slopes = inside.apply(lambda losses: -np.polyfit(inside.index, np.log(losses), 1)[0])
    return slopes.rename("rate").reset_index().pivot_table("rate", index="group", columns="run")


def _two_scales(table: Table, config: Config) -> Found:
    """Decay rate of the EMA's slow loss ÷ the large rate's; its last total loss against those of both rates."""
    settings, claims = config.quadratic, config.claims
    rates = decay_rates(table, settings.ema_steps)
    if rates.empty:
        return NotMeasured("the slow loss settles before the EMA has forgotten its start; raise quadratic.steps")
    ends = table[table["step"] == table["step"].max()]
    last = ends.pivot_table("loss", index="group", columns="run", aggfunc="sum")
    speed, margin = (rates["ema"] / rates["large_rate"]).to_numpy(), claims.ema_two_scales
    lag = ema_lag(settings.large_rate * settings.slow, 1 / settings.ema_steps)
    decay, end = 1e3 * rates.mean(), last.mean()
    shown = (
        f"decay per 1000 steps: EMA {decay['ema']:.3g}, large rate {decay['large_rate']:.3g}, small rate "
        f"{decay['small_rate']:.3g}; last total loss: EMA {end['ema']:.3g}, large {end['large_rate']:.3g}, small "
        f"{end['small_rate']:.3g}; the EMA lags by {lag:.0f} steps"
    )
    parts = {
        "decay rate, EMA ÷ large rate": judge_mean(speed, claims, below=1 + margin, above=1 - margin),
        "last loss, large rate − EMA": judge_mean((last["large_rate"] - last["ema"]).to_numpy(), claims, above=0.0),
        "last loss, small rate − EMA": judge_mean((last["small_rate"] - last["ema"]).to_numpy(), claims, above=0.0),
    }
    found = all_of(parts, claims.level)
    return replace(found, unit=GROUPS, detail=joined(found.detail, shown))


def ema_lag(contraction: float, newest: float) -> float:
    """Steps by which an EMA trails a decay exp(-xt), for x = λκ: ln(δ/(δ - x))/x; infinite where x >= δ."""
    if contraction >= newest:
        return math.inf
    return math.log(newest / (newest - contraction)) / contraction


def covariance_ratios(table: Table, confidence: float) -> Table:
    """Simulated over closed form with simultaneous intervals: omega, kernel, formula, ratio, low, high."""
    groups = list(table.groupby(["omega", "kernel", "formula"]))
    found = [(key, monte_carlo(rows["ratio"].to_numpy(), confidence, len(groups))) for key, rows in groups]
    rows = [(*key, interval.value, interval.low, interval.high) for key, interval in found]
    return pd.DataFrame(rows, columns=["omega", "kernel", "formula", "ratio", "low", "high"])


def _stationary_covariance(table: Table, confidence: float) -> Measured:
    """The exact form everywhere and eq. 19 on the symmetric Ω hold 1; the largest deviation is shown."""
    found = covariance_ratios(table, confidence)
    counter = (found["omega"] == "non_symmetric") & (found["formula"] == "eq_19")
    claimed = found[~counter]
    worst = claimed.iloc[int((claimed["ratio"] - 1).abs().argmax())]
    good = bool(((claimed["low"] <= 1) & (claimed["high"] >= 1)).all())
    off = [
        f"{row.kernel} {row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]"
        for row in found[counter].itertuples(index=False)
    ]
    detail = (
        f"shown: {worst['kernel']}, {str(worst['omega']).replace('_', '-')} Ω, the furthest from 1; eq. 19 on the "
        f"non-symmetric Ω, which it does not cover: {', '.join(off)}"
    )
    n = int(table["group"].nunique())
    interval = Interval(float(worst["ratio"]), float(worst["low"]), float(worst["high"]))
    return Measured(interval, n, _verdict(good), unit=GROUPS, detail=detail)


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows of the analytic model."""
    claims, confidence = config.claims, config.claims.confidence
    drag = tables["drag_and_drift"]
    cross = drag["mean_cross_term"].to_numpy() / drag["standard_error"].to_numpy()
    return {
        "ema_two_scales": _two_scales(tables["two_scales"], config),
        "stationary_radius": _stationary_radius(tables["lemma_1"], confidence),
        "averaging_equals_schedule": _largest(
            tables["lemma_2"]["largest_difference"],
            claims.identity_error,
            "with the kernel reversed or shuffled, which ought to fail, at least "
            f"{tables['lemma_2'][['reversed_difference', 'shuffled_difference']].to_numpy().min():.2g}",
        ),
        "midpoint_inside": _midpoint_inside(tables["midpoint_ratios"], confidence),
        "drag_and_drift": _largest(
            drag["relative_difference"],
            claims.identity_error,
            "γ of the whole gradient; with γ from A alone, as printed, a term is left out whose mean is "
            f"{np.sqrt(np.mean(cross**2)):.2f} standard errors from 0 (root mean square over the steps)",
        ),
        "stationary_covariance": _stationary_covariance(tables["appendix_a"], confidence),
    }
