"""Statements about distances in weight space (Fig. 6, 8)."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import spearmanr

from sidetrip.config import Config
from sidetrip.verdicts.statistics import PAIR, Measured, Table, Tables, both, judge_mean, judge_ratio


def along_trips(side_trips: Table) -> Table:
    """Losses of the λ trip (the main trajectory), the midpoint and the λ/2 trip, wherever a two-point average ends.

    Returns
    -------
    DataFrame
        seed, branch, trip_step, split, trip, midpoint, half_rate; at step 0 all three are the branch point.
    """
    two_point = side_trips[side_trips["kernel"] == "two_point"]
    momentary = side_trips[side_trips["model"] == "momentary"]
    names = {"momentary": "trip", "average": "midpoint", "trip": "half_rate"}
    start = [momentary[momentary["window_steps"] == 0].assign(model=model) for model in names]
    there = momentary[momentary["window_steps"].isin(two_point["window_steps"])]
    rows = pd.concat([*start, there, two_point]).rename(columns={"window_steps": "trip_step"})
    rows["model"] = rows["model"].map(names)
    wide = rows.pivot_table(index=[*PAIR, "trip_step", "split"], columns="model", values="loss", dropna=False)
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
    keys = [*PAIR, "trip_step"]
    two_point = distances[distances["kernel"] == "two_point"].drop(columns="kernel").rename(columns=columns)
    joined = trip_distances.merge(two_point, on=keys, how="left")
    at_start = joined["trip_step"] == 0
    joined.loc[at_start, joined.columns.difference(keys)] = 0.0
    return joined


def tracking(losses: Table) -> Table:
    """For each pair, means over the trip: |midpoint - λ/2 trip| and the midpoint's gain over the λ trip.

    Validation loss in nats; the branch point itself, where all three are one, is left out.
    """
    rows = losses[(losses["split"] == "validation") & (losses["trip_step"] > 0)].set_index(PAIR)
    gap, gain = (rows["midpoint"] - rows["half_rate"]).abs(), rows["trip"] - rows["midpoint"]
    return pd.DataFrame({"gap": gap, "gain": gain}).dropna().groupby(PAIR).mean()


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
    tracked = tracking(along_trips(tables["side_trips"]))
    if len(tracked):
        results["midpoint_tracks_half_rate"] = judge_ratio(
            tracked["gap"].to_numpy(),
            tracked["gain"].to_numpy(),
            claims,
            below=claims.midpoint_tracks_half_rate,
            # A gain that is not there turns the sign of the ratio: that is no tracking either.
            above=0.0,
        )
    distances = distances_along(tables["trip_distances"], tables["distances"])
    ends = distances[distances["trip_step"] == distances["trip_step"].max()].dropna()
    if len(ends):
        ratio = (ends["midpoint_to_half_rate"] / ends["trip_to_independent"]).to_numpy()
        results["midpoint_distance"] = judge_mean(ratio, claims, below=claims.midpoint_distance, above=0.0)
    found = saturation(tables["to_independent_end"])
    if len(found):
        rank = judge_mean(found["rank"].to_numpy(), claims, below=claims.distance_rank)
        change = judge_mean(found["change"].to_numpy(), claims, below=claims.distance_saturates)
        results["distance_saturates"] = both({"ρ": rank, "change after ÷ fall before": change})
    return results
