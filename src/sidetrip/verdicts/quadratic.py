"""Statements about the analytic model (Fig. 4, 9, 11, Lemma 1, Lemma 2, App. A).

Intervals are Student's, over independent groups of replicas. Where a row rests on several of them, each
is widened (Bonferroni) so that together they hold at the confidence asked for: a true statement then
passes as often as one with a single interval.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import t as student

from sidetrip.config import Config
from sidetrip.verdicts.statistics import NOT_REPRODUCED, REPRODUCED, Measured, Table, Tables


def monte_carlo(values: np.ndarray, confidence: float, together: int = 1) -> tuple[float, float, float]:
    """Mean over independent groups with its interval, one of so many that hold together."""
    spread = student.ppf(1 - (1 - confidence) / (2 * together), len(values) - 1)
    reach = spread * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def _holds(found: tuple[float, float, float], target: float) -> bool:
    return found[1] <= target <= found[2]


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
    good = all(_holds(s, 0.5) for s in slopes.values()) and all(_holds(r, 1.0) for r in ratios)
    detail = (
        f"slope for A = I; random A: {slopes['random'][0]:.3f}; squared radius over λ/(2 - λ)·E‖c‖²: "
        f"{min(r[0] for r in ratios):.3f} to {max(r[0] for r in ratios):.3f}"
    )
    return Measured(*slopes["identity"], int(lemma_1["group"].nunique()), _verdict(good), detail)


def _largest(values: pd.Series, limit: float, detail: str = "") -> Measured:
    """An identity: its largest error is number and interval at once."""
    worst = float(values.max())
    return Measured(worst, worst, worst, len(values), _verdict(worst < limit), detail)


def _midpoint_inside(ratios: Table, confidence: float) -> Measured:
    found = monte_carlo(ratios["ratio"].to_numpy(), confidence)
    return Measured(*found, len(ratios), _verdict(_holds(found, math.sqrt(0.5))), f"1/√2 = {math.sqrt(0.5):.4f}")


def steps_to_half(curve: pd.Series) -> float:
    """Step at which a loss (indexed by step) first reaches half of its first value, by linear interpolation."""
    half, steps, losses = 0.5 * curve.iloc[0], curve.index.to_numpy(float), curve.to_numpy()
    below = np.flatnonzero(losses <= half)
    if not len(below):
        return math.inf
    i = int(below[0])
    share = (losses[i - 1] - half) / (losses[i - 1] - losses[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def _two_scales(table: Table, confidence: float) -> Measured:
    """EMA - small rate in the fast coordinate's last loss, EMA - large rate in the slow one's steps to half."""
    last = table[(table["coordinate"] == "fast") & (table["step"] == table["step"].max())]
    fast = last.pivot_table(index="group", columns="run", values="loss")
    slow = table[table["coordinate"] == "slow"].pivot_table(index="step", columns=["run", "group"], values="loss")
    halves = slow.apply(steps_to_half).rename("half").reset_index().pivot_table("half", index="group", columns="run")
    low = monte_carlo((fast["ema"] - fast["small_rate"]).to_numpy(), confidence, 2)
    quick = monte_carlo((halves["ema"] - halves["large_rate"]).to_numpy(), confidence, 2)
    # As low, as fast: better would do as well.
    good = low[1] <= 0 and quick[1] <= 0
    means = halves.mean()
    detail = (
        f"shown: steps to half of the slow loss, EMA - large rate ({means['ema']:.0f} against "
        f"{means['large_rate']:.0f}; small rate {means['small_rate']:.0f}); "
        f"last fast loss: EMA {fast['ema'].mean():.2g}, small rate {fast['small_rate'].mean():.2g}, "
        f"large rate {fast['large_rate'].mean():.2g}"
    )
    return Measured(*quick, len(fast), _verdict(good), detail)


def covariance_ratios(table: Table, confidence: float) -> Table:
    """Simulated over closed form with simultaneous intervals: omega, kernel, formula, ratio, low, high."""
    groups = list(table.groupby(["omega", "kernel", "formula"]))
    rows = [(*key, *monte_carlo(rows["ratio"].to_numpy(), confidence, len(groups))) for key, rows in groups]
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
    return Measured(float(worst["ratio"]), float(worst["low"]), float(worst["high"]), n, _verdict(good), detail)


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows of the analytic model."""
    claims, confidence = config.claims, config.claims.confidence
    drag = tables["drag_and_drift"]
    cross = drag["mean_cross_term"].to_numpy() / drag["standard_error"].to_numpy()
    return {
        "ema_two_scales": _two_scales(tables["two_scales"], confidence),
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
