"""Statements about distances in weight space (Fig. 6, 8 of DOI 10.48550/arXiv.2301.02312)."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
from scipy.stats import spearmanr

from sidetrip.config import Config
from sidetrip.verdicts.records import POINT, Found, Judged, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import of_run, of_window
from sidetrip.verdicts.statistics import all_of, by_seed, failed, judge_equal, judge_mean, judge_seeds, late

FEWEST = 3  # snapshots up to a branch point that a rank correlation needs


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
    return wide.reindex(columns=["trip", "midpoint", "half_rate"]).reset_index().rename_axis(columns=None)


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
    A trip that diverged has no number.
    """
    rows = losses[(losses["split"] == "train") & (losses["trip_step"] > 0)].set_index(POINT)
    gap, gain = rows["midpoint"] - rows["half_rate"], rows["trip"] - rows["midpoint"]
    found = pd.DataFrame({"gap": gap, "gain": gain})
    whole = found.notna().all(axis=1).groupby(POINT).all()
    return found.groupby(POINT).mean().where(whole)


def saturation(along: Table) -> Table:
    """How the distance to the independent trip's end goes, up to the branch point and from there on.

    Returns
    -------
    DataFrame
        seed, branch, rank (Spearman's ρ of distance with step up to the branch point), fall (of the distance up to
        there), change (from there to the end, without its sign, ÷ fall; infinite where the distance does not fall).
    """
    rows = []
    for (seed, branch), curve in along.groupby(POINT):
        curve = curve.sort_values("step")
        before, after = curve[curve["step"] <= branch]["distance"], curve[curve["step"] > branch]["distance"]
        if len(before) < FEWEST or after.empty:
            continue
        fall = before.iloc[0] - before.iloc[-1]
        change = abs(after.iloc[-1] - before.iloc[-1]) / fall if fall > 0 else math.inf
        rank = spearmanr(range(len(before)), before).statistic if before.min() < before.max() else 0.0
        rows.append((seed, branch, rank, fall, change))
    return pd.DataFrame(rows, columns=[*POINT, "rank", "fall", "change"])


def _tracks(side_trips: Table, config: Config) -> Found:
    found = tracking(along_trips(late(side_trips, config.branch.points)))
    known = found.dropna()
    if known.empty:
        return NotMeasured("every trip at half the rate diverged")
    gap, gain = by_seed(known["gap"]).to_numpy(), by_seed(known["gain"]).to_numpy()
    judged = judge_equal(gap, gain, config.claims.midpoint_tracks_half_rate, config.claims)
    detail = joined(f"gain of the midpoint over the λ trip {gain.mean():.3g} nats", judged.detail)
    row = replace(judged, quantity="nats", detail=detail)
    return failed(row, "a trip at half the rate diverged") if len(known) < len(found) else row


def _distance(tables: Tables, config: Config) -> Found:
    distances = late(distances_along(tables["trip_distances"], tables["distances"]), config.branch.points)
    ends = distances[distances["trip_step"] == distances["trip_step"].max()].set_index(POINT)
    ratio = ends["midpoint_to_half_rate"] / ends["trip_to_independent"]
    found = judge_seeds(
        ratio, config.claims, "every independent trip diverged", below=config.claims.midpoint_distance, above=0.0
    )
    return failed(found, "a trip diverged") if ratio.isna().any() else found


def _saturates(along: Table, config: Config) -> Found:
    if config.burn_in.schedule != "constant":
        return NotMeasured("the rate of this variant falls, so that any distance comes to rest: nothing would be shown")
    along, claims = late(along, config.branch.points), config.claims
    if along.empty:
        return NotMeasured("every independent trip diverged")
    found = saturation(along).set_index(POINT)
    if found.empty:
        return NotMeasured(
            "there are fewer than three snapshots before a branch point, or none after; lower burn_in.snapshot_every"
        )
    ranks = judge_seeds(found["rank"], claims, "", below=claims.distance_rank)
    change = by_seed(found["change"])
    if still := int((found["fall"] <= 0).sum()):  # where nothing has fallen, nothing can stay
        return failed(ranks, f"the distance does not fall up to {still} of {len(found)} branch points")
    assert not isinstance(ranks, NotMeasured)
    parts = {
        "ρ up to the branch point": ranks,
        "change after ÷ fall before": judge_mean(change.to_numpy(), claims, below=claims.distance_saturates),
    }
    row = all_of(parts, claims.level)
    lost = len(config.seeds) * len(config.branch.points) - len(along.groupby(POINT))
    return failed(row, f"{lost} independent trips diverged") if lost else row


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows midpoint_tracks_half_rate, midpoint_distance and distance_saturates."""
    window = of_window(tables, config, "two_point")
    return {
        "midpoint_tracks_half_rate": replace(_tracks(tables["side_trips"], config), regime=window),
        "midpoint_distance": replace(_distance(tables, config), regime=window),
        "distance_saturates": replace(_saturates(tables["to_independent_end"], config), regime=of_run(tables, config)),
    }
