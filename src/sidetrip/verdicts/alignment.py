"""Statements about the gradients of a fixed batch (Fig. 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.statistics import NOT_REPRODUCED, PAIR, Measured, Table, Tables, both, judge_mean


def norm_changes(along: Table, smoothing_steps: int) -> Table:
    """Largest relative change of the fixed batch's gradient norm, smoothed, one row a pair and trip.

    Means over windows of so many steps, against the mean of the first window; empty if the trip diverged.
    """
    rows = []
    for (seed, branch, trip), curve in along.groupby([*PAIR, "trip"]):
        if curve["diverged"].any():
            rows.append((seed, branch, trip, np.nan))
            continue
        curve = curve.sort_values("trip_step")
        every = curve["trip_step"].diff().median()
        window = max(1, min(len(curve), round(smoothing_steps / every)))
        smooth = curve["fixed_norm"].rolling(window).mean().dropna()
        rows.append((seed, branch, trip, (smooth / smooth.iloc[0] - 1).abs().max()))
    return pd.DataFrame(rows, columns=[*PAIR, "trip", "change"])


def shares_aligned(along: Table, least: float) -> Table:
    """Share of looks after the first with a cosine above `least`, one row a pair and trip; none once it diverged."""
    later = along[along["trip_step"] > 0]
    aligned = later.assign(share=(later["fixed_cosine"] > least).astype(float))
    return aligned.groupby([*PAIR, "trip"])[["share"]].mean().reset_index()


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows fixed_gradient_norm, fixed_gradient_direction (both trips) and batch_gradients_orthogonal."""
    along, claims = tables["alignment"], config.claims
    changes = norm_changes(along, claims.gradient_smoothing_steps).groupby("trip")["change"]
    shares = shares_aligned(along, claims.fixed_gradient_cosine).groupby("trip")["share"]
    between = along.assign(size=along["different_batches_cosine"].abs()).groupby(PAIR)["size"].mean()
    norm = {
        f"{trip} trip": judge_mean(x.dropna().to_numpy(), claims, below=claims.fixed_gradient_norm)
        for trip, x in changes
        if x.notna().any()
    }
    direction = {
        f"{trip} trip": judge_mean(x.to_numpy(), claims, above=claims.fixed_gradient_direction) for trip, x in shares
    }
    results = {"fixed_gradient_direction": both(direction)}
    if norm:
        results["fixed_gradient_norm"] = both(norm)
    if along["diverged"].any():  # a trip that diverged keeps neither norm nor direction
        results = {name: replace(found, verdict=NOT_REPRODUCED, pairs_needed=None) for name, found in results.items()}
    sizes = between.dropna().to_numpy()
    if len(sizes):
        limit = claims.batch_gradients_orthogonal
        results["batch_gradients_orthogonal"] = judge_mean(sizes, claims, below=limit)
    return results
