"""Statements about the gradients of a fixed batch (Fig. 7)."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
    failed,
    judge_mean,
    judge_within,
)


def norm_changes(along: Table) -> pd.Series:
    """Log of the gradient norm's mean over the second half of a trip ÷ over the first; by seed, branch, trip."""

    def change(curve: Table) -> float:
        middle = curve["trip_step"].max() / 2
        first, second = (
            curve.loc[half, "fixed_norm"].mean() for half in (curve["trip_step"] <= middle, curve["trip_step"] > middle)
        )
        return float(np.log(second / first))

    return along.groupby([*POINT, "trip"])[["trip_step", "fixed_norm"]].apply(change)


def shares_aligned(along: Table, least: float) -> pd.Series:
    """Share of the looks after the first with a cosine above `least`; by seed, branch, trip."""
    later = along[(along["trip_step"] > 0) & ~along["diverged"]]
    return (later["fixed_cosine"] > least).astype(float).groupby([later[key] for key in (*POINT, "trip")]).mean()


def between_minus_first(tables: Tables) -> pd.Series:
    """Cosine of the fixed batch's gradients between the trips at equal step − cosine with the first gradient.

    Mean over the looks after the first and over both trips; by seed and branch point.
    """
    between = tables["between_trips"].query("trip_step > 0").groupby(POINT)["fixed_cosine"].mean()
    first = tables["alignment"].query("trip_step > 0").groupby(POINT)["fixed_cosine"].mean()
    return between - first


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows fixed_gradient_*, trips_aligned and batch_gradients_orthogonal."""
    along, claims = tables["alignment"], config.claims
    names = ("fixed_gradient_norm", "fixed_gradient_direction", "trips_aligned", "batch_gradients_orthogonal")
    if along["diverged"].all():
        return dict.fromkeys(names, NotMeasured("every trip diverged"))
    changes, shares = norm_changes(along), shares_aligned(along, claims.fixed_gradient_cosine)
    norms, directions = {}, {}
    for trip in along["trip"].unique():
        change = by_seed(changes.xs(trip, level="trip")).to_numpy()
        margin = np.full(len(change), claims.fixed_gradient_norm)
        norms[f"the {trip} trip"] = judge_within(change, margin, claims)
        share = by_seed(shares.xs(trip, level="trip")).to_numpy()
        directions[f"the {trip} trip"] = judge_mean(share, claims, above=claims.fixed_gradient_direction)
    between = by_seed(along.set_index(POINT)["different_batches_cosine"]).to_numpy()
    limit = claims.batch_gradients_orthogonal
    results: dict[str, Measured] = {
        "fixed_gradient_norm": all_of(norms, claims.level),
        "fixed_gradient_direction": all_of(directions, claims.level),
        "trips_aligned": judge_mean(by_seed(between_minus_first(tables)).to_numpy(), claims, above=0.0),
        "batch_gradients_orthogonal": judge_mean(between, claims, below=limit, above=-limit),
    }
    if along["diverged"].any():  # a trip that diverged keeps neither norm nor direction
        return {name: failed(row, "a trip diverged") for name, row in results.items()}
    return results
