"""Statements about distances in weight space (Fig. 6, 8)."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
from scipy.stats import spearmanr

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
    judge_equal,
    judge_mean,
    late,
)

CONSTANT_ALONE = "a statement about a constant rate; this variant's rate falls"


def along_trips(side_trips: Table) -> Table:
    """Losses of the λ trip (the main trajectory), the midpoint and the λ/2 trip, wherever a two-point average ends.

    Returns
    -------
    DataFrame
        seed, branch, trip_step, split, trip, midpoint, half_rate; at step 0 all three are the branch point.
    """
    rows = side_trips[(side_trips["look"] == 0) & side_trips["split"].isin(["train", "validation"])]
    two_point = rows[rows["kernel"] == "two_point"]
    momentary = rows[rows["model"] == "momentary"]
    names = {"momentary": "trip", "average": "midpoint", "trip": "half_rate"}
    start = [momentary[momentary["window_steps"] == 0].assign(model=model) for model in names]
    there = momentary[momentary["window_steps"].isin(two_point["window_steps"])]
    found = pd.concat([*start, there, two_point]).rename(columns={"window_steps": "trip_step"})
    found["model"] = found["model"].map(names)
    wide = found.pivot_table(index=[*POINT, "trip_step", "split"], columns="model", values="loss", dropna=False)
    return wide.reset_index().rename_axis(columns=None)


def distances_along(trip_distances: Table, distances: Table) -> Table:
    """The five distances of Fig. 6, by steps after the branch point.

    Returns
    -------
    DataFrame
        seed, branch, trip_step, trip_to_start, trip_to_independent, half_rate_to_start, midpoint_to_start,
        midpoint_to_half_rate.
    """
    columns = {
        "window_steps": "trip_step",
        "trip_to_start": "half_rate_to_start",
        "average_to_start": "midpoint_to_start",
        "average_to_trip": "midpoint_to_half_rate",
    }
    keys = [*POINT, "trip_step"]
    two_point = distances[distances["kernel"] == "two_point"].drop(columns="kernel").rename(columns=columns)
    joined = trip_distances.merge(two_point, on=keys, how="left")
    at_start = joined["trip_step"] == 0
    joined.loc[at_start, joined.columns.difference(keys)] = 0.0
    return joined


def tracking(losses: Table) -> Table:
    """Means over the trip of midpoint − λ/2 trip (gap) and of what the midpoint gains over the λ trip (gain).

    Training loss in nats, by seed and branch point; the branch point itself, where all three are one, is left out.
    """
    rows = losses[(losses["split"] == "train") & (losses["trip_step"] > 0)].set_index(POINT)
    gap, gain = rows["midpoint"] - rows["half_rate"], rows["trip"] - rows["midpoint"]
    return pd.DataFrame({"gap": gap, "gain": gain}).dropna().groupby(POINT).mean()


def saturation(along: Table) -> Table:
    """Spearman's ρ of distance with step up to the branch point, and the change from there to the end ÷ fall before.

    Columns seed, branch, rank, change; the change is that of the last snapshot against the one nearest to the branch
    point, without its sign.
    """
    rows = []
    for (seed, branch), curve in along.groupby(POINT):
        curve = curve.sort_values("step")
        before, after = curve[curve["step"] <= branch]["distance"], curve[curve["step"] > branch]["distance"]
        if len(before) < 3 or after.empty:
            continue
        fall = before.iloc[0] - before.iloc[-1]
        # A distance that has not fallen has nothing to be compared with: it counts as not having saturated.
        change = abs(after.iloc[-1] - before.iloc[-1]) / fall if fall > 0 else math.inf
        rows.append((seed, branch, spearmanr(range(len(before)), before).statistic, change))
    return pd.DataFrame(rows, columns=[*POINT, "rank", "change"])


def _tracks(side_trips: Table, config: Config) -> Measured | NotMeasured:
    found = tracking(along_trips(late(side_trips, config.branch.points)))
    if found.empty:
        return NotMeasured("every trip at half the rate diverged")
    gap, gain = by_seed(found["gap"]).to_numpy(), by_seed(found["gain"]).to_numpy()
    judged = judge_equal(gap, gain, config.claims.midpoint_tracks_half_rate, config.claims)
    return replace(judged, quantity="nats", detail=f"gain of the midpoint over the λ trip {gain.mean():.3g} nats")


def _distance(tables: Tables, config: Config) -> Measured | NotMeasured:
    distances = late(distances_along(tables["trip_distances"], tables["distances"]), config.branch.points)
    ends = distances[distances["trip_step"] == distances["trip_step"].max()].dropna().set_index(POINT)
    if ends.empty:
        return NotMeasured("every independent trip diverged")
    ratio = by_seed(ends["midpoint_to_half_rate"] / ends["trip_to_independent"])
    return judge_mean(ratio.to_numpy(), config.claims, below=config.claims.midpoint_distance, above=0.0)


def _saturates(along: Table, config: Config) -> Measured | NotMeasured:
    if config.burn_in.schedule != "constant":
        return NotMeasured(CONSTANT_ALONE)
    found = saturation(along).set_index(POINT)
    if found.empty:
        return NotMeasured(
            "there are fewer than three snapshots before a branch point, or none after; lower burn_in.snapshot_every"
        )
    claims = config.claims
    return all_of(
        {
            "ρ up to the branch point": judge_mean(
                by_seed(found["rank"]).to_numpy(), claims, below=claims.distance_rank
            ),
            "change after ÷ fall before": judge_mean(
                by_seed(found["change"]).to_numpy(), claims, below=claims.distance_saturates
            ),
        },
        claims.level,
    )


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows midpoint_tracks_half_rate, midpoint_distance and distance_saturates."""
    return {
        "midpoint_tracks_half_rate": _tracks(tables["side_trips"], config),
        "midpoint_distance": _distance(tables, config),
        "distance_saturates": _saturates(tables["to_independent_end"], config),
    }
