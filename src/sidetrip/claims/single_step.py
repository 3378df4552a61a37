"""Statements about one step (Fig. 2, 12, 13)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from sidetrip.claims.statistics import PAIR, Measured, Table, Tables, judge_mean
from sidetrip.config import Config


def best_steps(single_step: Table) -> Table:
    """For each (seed, branch, batch_size) and batch: loss at 0, lowest loss, its step size, relative drop.

    The held-out curve is the mean over the held-out batches; both ranges are searched together.
    """
    keys = [*PAIR, "batch_size", "batch"]
    curve = single_step.groupby([*keys, "step_size"], as_index=False)["loss"].mean()
    start = curve[curve["step_size"] == 0].set_index(keys)["loss"].rename("start")
    lowest = curve.loc[curve.groupby(keys)["loss"].idxmin()].set_index(keys)
    table = lowest.rename(columns={"loss": "lowest", "step_size": "best_step_size"}).join(start)
    return table.assign(relative_drop=1 - table["lowest"] / table["start"]).reset_index()


def _wide(best: Table, column: str) -> Table:
    return best.pivot_table(index=[*PAIR, "batch_size"], columns="batch", values=column)


def parabola_fit(single_step: Table, best: Table) -> Table:
    """R² of a parabola through the own-batch curve on [0, 1.5 × its best step size], each pair and batch size."""
    rows = []
    own = single_step[single_step["batch"] == "own"]
    for _, b in best[best["batch"] == "own"].iterrows():
        here = (own[[*PAIR, "batch_size"]] == b[[*PAIR, "batch_size"]].to_numpy()).all(axis=1)
        curve = own[here & (own["step_size"] <= 1.5 * b["best_step_size"])].drop_duplicates("step_size")
        x, y = curve["step_size"].to_numpy(), curve["loss"].to_numpy()
        if len(x) < 4:
            continue
        rest = y - np.polynomial.Polynomial.fit(x, y, 2)(x)
        rows.append({**b[[*PAIR, "batch_size"]], "r_squared": 1 - rest.var() / y.var(), "points": len(x)})
    return pd.DataFrame(rows, columns=[*PAIR, "batch_size", "r_squared", "points"])


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows single_step_*, quadratic_own and batch_size_gap."""
    claims = config.claims
    best = best_steps(tables["single_step"])
    smallest, largest = min(config.single_step.batch_sizes), max(config.single_step.batch_sizes)
    at_smallest = best[best["batch_size"] == smallest]
    drop = _wide(at_smallest, "relative_drop")
    steps = _wide(at_smallest, "best_step_size")
    lowest = _wide(at_smallest, "lowest")["own"].droplevel("batch_size")
    train = tables["side_trips"].query("model == 'average' and split == 'train'")
    floor = train.groupby("seed")["loss"].min()  # the run's best averaged model
    ratio = lowest.to_numpy() / floor.loc[lowest.index.get_level_values("seed")].to_numpy()
    fit = parabola_fit(tables["single_step"], best).query("batch_size == @smallest")
    results = {
        "single_step_floor": judge_mean(ratio, claims, below=claims.single_step_floor),
        "single_step_gap": judge_mean(
            (drop["held_out"] / drop["own"]).to_numpy(), claims, below=claims.single_step_gap
        ),
        "single_step_rate": judge_mean(
            (steps["held_out"] / steps["own"]).to_numpy(), claims, below=claims.single_step_rate
        ),
        "quadratic_own": judge_mean(fit["r_squared"].to_numpy(), claims, above=claims.quadratic_own),
    }
    if smallest < largest:
        drops = _wide(best, "relative_drop")
        ratios = np.log10(
            (drops["own"] / drops["held_out"])
            .rename("ratio")
            .reset_index()
            .pivot_table(index=PAIR, columns="batch_size", values="ratio")
        )
        change = (ratios[largest] - ratios[smallest]).to_numpy()
        if np.isfinite(change).all():
            detail = (
                f"log10 ratio {ratios[smallest].mean():.2f} at {smallest}, {ratios[largest].mean():.2f} at {largest}"
            )
            found = judge_mean(change, claims, below=0.0)
            results["batch_size_gap"] = replace(found, detail=detail)
    return results
