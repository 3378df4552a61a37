"""Statements about one step (Fig. 2, 12, 13)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.polynomial import Polynomial

from sidetrip.config import Config
from sidetrip.verdicts.statistics import PAIR, Measured, Table, Tables, judge_mean

SETTING = ["direction", "batchnorm"]
CLOSE = 0.05  # relative distance within which the parabola from slope and curvature counts as valid
NEARLY_ALL = 0.999  # R² from which on a polynomial's degree counts as enough


def paper_setting(table: Table) -> Table:
    """Rows of the paper's own setting: plain gradient, BatchNorm on the statistics of the batch."""
    return table[(table["direction"] == "gradient") & (table["batchnorm"] == "batch")]


def best_steps(single_step: Table) -> Table:
    """For each (seed, branch, batch_size, direction, batchnorm) and batch: where the loss is lowest.

    Loss at 0 (`start`), lowest loss, its step size, relative drop. The held-out curve is the mean over
    the held-out batches.
    """
    keys = [*PAIR, "batch_size", *SETTING, "batch"]
    curve = single_step.groupby([*keys, "step_size"], as_index=False)["loss"].mean()
    start = curve[curve["step_size"] == 0].set_index(keys)["loss"].rename("start")
    lowest = curve.loc[curve.groupby(keys)["loss"].idxmin()].set_index(keys)
    table = lowest.rename(columns={"loss": "lowest", "step_size": "best_step_size"}).join(start)
    return table.assign(relative_drop=1 - table["lowest"] / table["start"]).reset_index()


def _wide(best: Table, column: str) -> Table:
    return best.pivot_table(index=[*PAIR, "batch_size"], columns="batch", values=column)


def parabolas(single_step: Table, curvature: Table) -> Table:
    """How well parabolas describe the own-batch curve, for each pair, batch size and setting.

    Returns
    -------
    DataFrame
        Keys; best_step_size; r_squared of the best parabola on [0, 1.5 × best_step_size];
        lowest_degree of a polynomial with R² >= 0.999 there (0: none up to 8); valid_to: the largest
        step size up to which the parabola from slope and curvature at 0 stays within 5 % of the
        measured loss (empty where the curvature was not taken); points: step sizes on the interval.
    """
    keys, rows = [*PAIR, "batch_size", *SETTING], []
    own_best = best_steps(single_step).query("batch == 'own'").set_index(keys)["best_step_size"]
    best: dict[Hashable, float] = own_best.to_dict()
    expansions: dict[Hashable, dict[str, float]] = curvature.set_index(keys).to_dict("index")  # type: ignore[assignment]
    for key, curve in single_step[single_step["batch"] == "own"].groupby(keys):
        curve = curve.sort_values("step_size")
        x, y, lowest_at = curve["step_size"].to_numpy(), curve["loss"].to_numpy(), best[key]
        inside = x <= 1.5 * lowest_at
        r_squared = {d: _r_squared(x[inside], y[inside], d) for d in range(1, min(8, inside.sum() - 2) + 1)}
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "best_step_size": lowest_at,
                "r_squared": r_squared.get(2, np.nan),
                "lowest_degree": next((d for d, r in r_squared.items() if r >= NEARLY_ALL), 0),
                "valid_to": _valid_to(x, y, expansions[key]) if key in expansions else np.nan,
                "points": int(inside.sum()),
            }
        )
    return pd.DataFrame(rows)


def _valid_to(x: np.ndarray, y: np.ndarray, at: dict[str, float]) -> float:
    predicted = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    valid = np.logical_and.accumulate(np.abs(predicted - y) <= CLOSE * np.abs(y))
    return float(x[valid].max(initial=0.0))


def _r_squared(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    rest = y - Polynomial.fit(x, y, degree)(x)
    return float(1 - rest.var() / y.var()) if y.var() > 0 else float("nan")


def _log_ratios(best: Table) -> Table:
    """log10 of own over held-out relative drop, one row a pair, one column a batch size."""
    drops = _wide(best, "relative_drop")
    with np.errstate(divide="ignore"):  # a held-out loss that no step lowers
        ratio = pd.Series(np.log10(drops["own"] / drops["held_out"]), drops.index, name="ratio")
    return ratio.reset_index().pivot_table(index=PAIR, columns="batch_size", values="ratio")


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows single_step_*, quadratic_own and batch_size_gap."""
    claims = config.claims
    best = best_steps(paper_setting(tables["single_step"]))
    smallest, largest = min(config.single_step.batch_sizes), max(config.single_step.batch_sizes)
    at_smallest = best[best["batch_size"] == smallest]
    drop = _wide(at_smallest, "relative_drop")
    steps = _wide(at_smallest, "best_step_size")
    lowest = _wide(at_smallest, "lowest")["own"].droplevel("batch_size")
    train = tables["side_trips"].query("model == 'average' and split == 'train'")
    floor = train.groupby("seed")["loss"].min()  # the run's best averaged model
    ratio = lowest.to_numpy() / floor.loc[lowest.index.get_level_values("seed")].to_numpy()
    fits = parabolas(paper_setting(tables["single_step"]), paper_setting(tables["curvature"]))
    fits = fits.query("batch_size == @smallest")
    gap = judge_mean((drop["held_out"] / drop["own"]).to_numpy(), claims, below=claims.single_step_gap)
    rate = judge_mean((steps["held_out"] / steps["own"]).to_numpy(), claims, below=claims.single_step_rate)
    quadratic = judge_mean(fits["r_squared"].to_numpy(), claims, above=claims.quadratic_own)
    reach = (fits["valid_to"] / fits["best_step_size"]).median()
    results = {
        "single_step_floor": judge_mean(ratio, claims, below=claims.single_step_floor),
        "single_step_gap": gap,
        "single_step_rate": rate,
        "quadratic_own": replace(
            quadratic,
            detail=f"lowest degree with R² ≥ {NEARLY_ALL:g}: median {fits['lowest_degree'].median():g}; the parabola "
            f"from slope and curvature at 0 stays within 5 % up to {reach:.2g} × the best step size (median)",
        ),
    }
    if smallest < largest:
        ratios = _log_ratios(best)
        change = (ratios[largest] - ratios[smallest]).to_numpy()
        if np.isfinite(change).all():
            detail = (
                f"log10 ratio {ratios[smallest].mean():.2f} at {smallest}, {ratios[largest].mean():.2f} at {largest}"
            )
            results["batch_size_gap"] = replace(judge_mean(change, claims, below=0.0), detail=detail)
    return results
