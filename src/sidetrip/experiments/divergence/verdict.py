"""Statements about distances in weight space (Fig. 6, 8 of DOI 10.48550/arXiv.2301.02312)."""

from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import POINT, Found, Judged, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import of_run, of_window
from sidetrip.verdicts.scores import late_scores
from sidetrip.verdicts.statistics import all_of, by_seed, failed, judge_equal, judge_mean, judge_seeds, late

LAST_PART = 1 / 3  # of the way from the early branch point to the end


def tracking(losses: Table) -> Table:
    """What the midpoint's training loss has above the λ/2 trip's, over the looks along the trip, in nats.

    Returns
    -------
    DataFrame
        By seed and branch point: gap (mean of midpoint − λ/2 trip), largest (of its sizes), gain (mean of λ trip −
        midpoint). The branch point itself, where all three are one, is left out. A trip that diverged has no number.
    """
    rows = losses[losses["trip_step"] > 0].pivot_table(
        index=[*POINT, "trip_step"], columns="model", values="loss", dropna=False
    )
    gap, gain = rows["midpoint"] - rows["half_rate"], rows["trip"] - rows["midpoint"]
    found = (
        pd.DataFrame({"gap": gap, "gain": gain}).groupby(POINT).mean().assign(largest=gap.abs().groupby(POINT).max())
    )
    return found.where(rows.notna().all(axis=1).groupby(POINT).all())


def saturation(along: Table) -> Table:
    """How the distance to the independent trip's end goes after the point that both runs leave.

    Returns
    -------
    DataFrame
        By seed and branch point: level (mean over the last third of the way ÷ distance at the point), change (last
        distance − first one within the last third, ÷ the mean there).
    """
    rows = []
    for (seed, branch), curve in along.groupby(POINT):
        curve = curve.sort_values("step")
        steps, apart = curve["step"].to_numpy(float), curve["distance"].to_numpy(float)
        last = apart[steps >= steps[-1] - LAST_PART * (steps[-1] - steps[0])]
        rows.append((seed, branch, last.mean() / apart[0], (last[-1] - last[0]) / last.mean()))
    return pd.DataFrame(rows, columns=[*POINT, "level", "change"]).set_index(POINT)


def _tracks(losses: Table, config: Config) -> Found:
    found = tracking(late(losses, config.branch.points))
    known = found.dropna()
    if known.empty:
        return NotMeasured("every trip at half the rate diverged")
    gap, gain = by_seed(known["gap"]).to_numpy(), by_seed(known["gain"]).to_numpy()
    judged = judge_equal(gap, gain, config.claims.midpoint_tracks_half_rate, config.claims)
    largest = by_seed(known["largest"]).mean()
    shown = f"gain of the midpoint over the λ trip {gain.mean():.3g} nats, largest difference at a look {largest:.3g}"
    row = replace(judged, quantity="nats", detail=joined(shown, judged.detail))
    return failed(row, "a trip at half the rate diverged") if len(known) < len(found) else row


def _distance(distances: Table, config: Config) -> Found:
    rows = late(distances, config.branch.points)
    ends = rows[rows["trip_step"] == rows["trip_step"].max()].set_index(POINT)
    ratio = ends["midpoint_to_half_rate"] / ends["trip_to_independent"]
    found = judge_seeds(
        ratio, config.claims, "every independent trip diverged", below=config.claims.midpoint_distance, above=0.0
    )
    return failed(found, "a trip diverged") if ratio.isna().any() else found


def _saturates(along: Table, config: Config) -> Found:
    if config.burn_in.schedule != "constant":
        return NotMeasured("the rate of this variant falls, so that any distance comes to rest: nothing would be shown")
    if not config.branch.early:
        return NotMeasured("there is no early branch point for the independent trip to leave from; add one")
    if along.empty:
        return NotMeasured("every independent trip diverged")
    found, claims = saturation(along), config.claims
    level, change = (by_seed(found[name]).to_numpy(float) for name in ("level", "change"))
    parts = {
        "level over the last third ÷ distance at the point": judge_mean(level, claims, below=claims.distance_level),
        "change within the last third ÷ level": judge_mean(
            change, claims, below=claims.distance_change, above=-claims.distance_change
        ),
    }
    row = all_of(parts, claims.level)
    lost = len(config.seeds) - along["seed"].nunique()
    return failed(row, f"{lost} independent trips diverged") if lost else row


def to_the_end(tables: Tables) -> Table:
    """Distances to the ends of independent trips; no rows where the variant has no early branch point."""
    return tables.get("to_independent_end", pd.DataFrame(columns=[*POINT, "step", "distance"]))


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows midpoint_tracks_half_rate, midpoint_distance and distance_saturates."""
    window = of_window(tables, config, *late_scores(tables["side_trips"], config, "two_point"))
    return {
        "midpoint_tracks_half_rate": replace(_tracks(tables["trip_losses"], config), regime=window),
        "midpoint_distance": replace(_distance(tables["trip_distances"], config), regime=window),
        "distance_saturates": replace(_saturates(to_the_end(tables), config), regime=of_run(tables, config)),
    }
