"""Statements about one step (Fig. 2, 12, 13)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.polynomial import Polynomial

from sidetrip.config import Config
from sidetrip.verdicts.statistics import (
    POINT,
    Judged,
    Measured,
    NotMeasured,
    Table,
    Tables,
    all_of,
    by_seed,
    judge_mean,
    late,
)

SETTING = ["direction", "batchnorm"]
BATCH = [*POINT, "batch_size", "own_batch"]
CLOSE = 0.05  # relative distance within which the parabola from slope and curvature counts as valid
NEARLY_ALL = 0.999  # R² from which on a polynomial's degree counts as enough
FIT = "fit"  # range of evenly spaced step sizes


def paper_setting(table: Table) -> Table:
    """Rows of the paper's own setting: plain gradient, BatchNorm on the statistics of the batch."""
    return table[(table["direction"] == "gradient") & (table["batchnorm"] == "batch")]


def best_steps(single_step: Table) -> Table:
    """Where the loss along one step is lowest, for each own batch and setting, and each kind of batch.

    Returns
    -------
    DataFrame
        seed, branch, batch_size, own_batch, direction, batchnorm, batch (own, held_out); best_step_size, lowest,
        start (loss at 0), relative_drop. The held-out curve is the mean over the held-out batches.
    """
    keys = [*BATCH, *SETTING, "batch"]
    rows = single_step[single_step["range"] != FIT]
    curve = rows.groupby([*keys, "step_size"], as_index=False)["loss"].mean()
    start = curve[curve["step_size"] == 0].set_index(keys)["loss"].rename("start")
    lowest = curve.loc[curve.groupby(keys)["loss"].idxmin()].set_index(keys)
    table = lowest.rename(columns={"loss": "lowest", "step_size": "best_step_size"}).join(start)
    return table.assign(relative_drop=1 - table["lowest"] / table["start"]).reset_index()


def parabolas(single_step: Table, curvature: Table) -> Table:
    """How well parabolas describe the own-batch curve of the paper's setting, for each own batch.

    Returns
    -------
    DataFrame
        seed, branch, batch_size, own_batch; best_step_size; r_squared of the best parabola on evenly spaced step
        sizes of [0, 1.5 × best_step_size]; lowest_degree of a polynomial with R² >= 0.999 there (0: none up to 6);
        valid_to: the largest step size up to which the parabola from slope and curvature at 0 stays within 5 % of the
        measured loss (empty where the curvature was not taken).
    """
    own = paper_setting(single_step).query("batch == 'own'")
    best: dict[Hashable, float] = best_steps(own).set_index(BATCH)["best_step_size"].to_dict()
    expansions: dict[Hashable, dict[str, float]] = (
        paper_setting(curvature).set_index(BATCH)[["loss", "slope", "curvature"]].to_dict("index")  # type: ignore[assignment]
    )
    rows = []
    for key, curve in own.groupby(BATCH):
        fit = curve[curve["range"] == FIT].sort_values("step_size")
        x, y = fit["step_size"].to_numpy(), fit["loss"].to_numpy()
        r_squared = {degree: _r_squared(x, y, degree) for degree in range(1, 7) if len(x) > degree + 1}
        rows.append(
            {
                **dict(zip(BATCH, key, strict=True)),
                "best_step_size": best[key],
                "r_squared": r_squared.get(2, np.nan),
                "lowest_degree": next((d for d, r in r_squared.items() if r >= NEARLY_ALL), 0),
                "valid_to": _valid_to(curve, expansions[key]) if key in expansions else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _valid_to(curve: Table, at: dict[str, float]) -> float:
    means = curve.groupby("step_size")["loss"].mean()
    x, y = means.index.to_numpy(float), means.to_numpy()
    predicted = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    valid = np.logical_and.accumulate(np.abs(predicted - y) <= CLOSE * np.abs(y))
    return float(x[valid].max(initial=0.0))


def _r_squared(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    if not np.ptp(x) or not y.var():
        return float("nan")
    rest = y - Polynomial.fit(x, y, degree)(x)
    return float(1 - rest.var() / y.var())


def curvature_at_rate(curvature: Table, config: Config) -> pd.Series:
    """λκ/(1 - μ) for κ = gᵀHg/gᵀg along the gradient of a batch of the run's own size, for each own batch.

    The effective rate of SGD with momentum is λ/(1 - μ).
    """
    rows = paper_setting(curvature).query("batch_size == @config.burn_in.batch_size").set_index(BATCH)
    rate = config.burn_in.rate / (1 - config.burn_in.momentum)
    return rate * rows["curvature"] / -rows["slope"]


def _both_kinds(best: Table, column: str) -> Table:
    """A column of `best_steps` for own and held-out batch side by side."""
    return best.pivot_table(index=BATCH, columns="batch", values=column)


def _mean(values: pd.Series, config: Config, **limits: float) -> Measured:
    return judge_mean(by_seed(values).to_numpy(), config.claims, **limits)


def _floor(best: Table, side_trips: Table, config: Config) -> Measured | NotMeasured:
    averages = late(side_trips, config.branch.points).query("model == 'average' and split == 'batches'")
    if averages.empty:
        return NotMeasured("no average was scored on training batches")
    reference = averages.groupby("seed")["loss"].min().rename("reference")
    own = best[best["batch"] == "own"].set_index(BATCH)["lowest"].to_frame().join(reference, on="seed")
    return _mean(own["lowest"] / own["reference"], config, below=config.claims.single_step_floor)


def _size_gap(best: Table, config: Config) -> Measured | NotMeasured:
    sizes = sorted(best["batch_size"].unique())
    if len(sizes) < 2:
        return NotMeasured("there is only one batch size; add another to single_step.batch_sizes")
    drops = best.pivot_table("relative_drop", index=["batch_size", "seed"], columns="batch")
    if (drops <= 0).any(axis=None):
        return NotMeasured("at some batch size no step lowers the loss of a seed's held-out batches")
    ratio = (drops["own"] / drops["held_out"]).map(np.log10)
    smallest, largest = (ratio[ratio.index.get_level_values("batch_size") == size] for size in (sizes[0], sizes[-1]))
    limit = float(np.log10(config.claims.batch_size_gap))
    found = all_of(
        {
            f"log10 ratio at batch {sizes[0]}": judge_mean(smallest.to_numpy(), config.claims, above=limit),
            f"log10 ratio, batch {sizes[-1]} − batch {sizes[0]}": judge_mean(
                largest.to_numpy() - smallest.to_numpy(), config.claims, below=0.0
            ),
        },
        config.claims.level,
    )
    shown = f"own ÷ held-out drop {10 ** smallest.mean():.1f} at {sizes[0]}, {10 ** largest.mean():.1f} at {sizes[-1]}"
    return replace(found, detail=f"{found.detail}; {shown}")


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows single_step_*, quadratic_own and batch_size_gap."""
    claims, size = config.claims, config.burn_in.batch_size
    everywhere = late(best_steps(paper_setting(tables["single_step"])), config.branch.points)
    best = everywhere[everywhere["batch_size"] == size]
    drop, steps = _both_kinds(best, "relative_drop"), _both_kinds(best, "best_step_size")
    fits = late(parabolas(tables["single_step"], tables["curvature"]), config.branch.points)
    fits = fits[fits["batch_size"] == size].set_index(BATCH)
    reach = (fits["valid_to"] / fits["best_step_size"]).median()
    detail = (
        f"lowest degree with R² ≥ {NEARLY_ALL:g}: median {fits['lowest_degree'].median():g}; the parabola "
        f"from slope and curvature at 0 stays within 5 % up to {reach:.2g} × the best step size (median)"
    )
    quadratic = _mean(fits["r_squared"], config, above=claims.quadratic_own)
    return {
        "single_step_floor": _floor(best, tables["side_trips"], config),
        "single_step_gap": _mean(drop["held_out"] / drop["own"], config, below=claims.single_step_gap),
        "single_step_rate": _mean(steps["held_out"] / steps["own"], config, below=claims.single_step_rate),
        "quadratic_own": replace(quadratic, detail=detail),
        "batch_size_gap": _size_gap(everywhere, config),
    }
