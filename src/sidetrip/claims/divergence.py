"""Statements about distances in weight space (Fig. 6, 8)."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import spearmanr

from sidetrip.claims.statistics import PAIR, Measured, Table, Tables, both, judge_mean, judge_ratio
from sidetrip.config import Config


def tracking(losses: Table) -> Table:
    """For each pair, means over the trip: |midpoint - λ/2 trip| and the midpoint's gain over the λ trip.

    Validation loss in nats; the branch point itself, where all three are one, is left out.
    """
    rows = losses[(losses["split"] == "validation") & (losses["trip_step"] > 0)]
    wide = rows.pivot_table(index=[*PAIR, "trip_step"], columns="model", values="loss", dropna=False)
    gaps = pd.DataFrame(
        {"gap": (wide["midpoint"] - wide["half_rate"]).abs(), "gain": wide["trip"] - wide["midpoint"]}
    ).dropna()
    return gaps.groupby(PAIR).mean()


def saturation(along: Table) -> Table:
    """For each pair: Spearman's ρ of distance with step up to the branch point, and change after ÷ fall before.

    The change after is the largest one, of any later snapshot against that nearest to the branch point.
    """
    rows = []
    for (seed, branch), curve in along.groupby(PAIR):
        before = curve[curve["step"] <= branch].sort_values("step")["distance"].to_numpy()
        after = curve[curve["step"] > branch]["distance"].to_numpy()
        if len(before) < 3 or not len(after):
            continue
        fall = before[0] - before[-1]
        # A distance that has not fallen has nothing to be compared with: it counts as not having saturated.
        ratio = abs(after - before[-1]).max() / fall if fall > 0 else math.inf
        rows.append((seed, branch, spearmanr(range(len(before)), before).statistic, ratio))
    return pd.DataFrame(rows, columns=[*PAIR, "rank", "change"])


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows midpoint_tracks_half_rate, midpoint_distance and distance_saturates."""
    claims, results = config.claims, {}
    tracked = tracking(tables["trip_losses"])
    if len(tracked):
        results["midpoint_tracks_half_rate"] = judge_ratio(
            tracked["gap"].to_numpy(),
            tracked["gain"].to_numpy(),
            claims,
            below=claims.midpoint_tracks_half_rate,
            # A gain that is not there turns the sign of the ratio: that is no tracking either.
            above=0.0,
        )
    distances = tables["trip_distances"]
    ends = distances[distances["trip_step"] == config.divergence.steps].dropna()
    if len(ends):
        ratio = (ends["midpoint_to_half_rate"] / ends["trip_to_independent"]).to_numpy()
        results["midpoint_distance"] = judge_mean(ratio, claims, below=claims.midpoint_distance, above=0.0)
    found = saturation(tables["to_independent_end"])
    if len(found):
        rank = judge_mean(found["rank"].to_numpy(), claims, below=claims.distance_rank)
        change = judge_mean(found["change"].to_numpy(), claims, below=claims.distance_saturates)
        results["distance_saturates"] = both({"ρ": rank, "change after ÷ fall before": change})
    return results
