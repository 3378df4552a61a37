"""Where averaging replaces decay, and where it stops: all variants, windows, branch points and methods together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from sidetrip.config import Claims, Config
from sidetrip.verdicts.records import DIFFERS, Table
from sidetrip.verdicts.regime import rates_over_batch
from sidetrip.verdicts.statistics import fieller, judge_equal

COLUMNS = ["variant", "schedule", "rate_over_batch", "kernel", "branch", "branch_points", "late", "window_steps"]
COLUMNS += ["window_over_branch", "n", "fall", "gain", "gap", "ratio", "ratio_low", "ratio_high"]
COLUMNS += ["tested_low", "tested_high", "outcome"]


def map_points(points: Table, batch_losses: Table, config: Config) -> Table:
    """Whether average and trip are equal in validation loss, by method and window, from points of `scores.by_point`.

    The late branch points are judged together, by the means of the seeds over them; each early one by itself. A branch
    point at step 0 has no place on the map.

    Returns
    -------
    DataFrame
        variant, schedule, kernel, late, window_steps; branch (mean over the branch points), branch_points (how many),
        rate_over_batch (λ/B, mean), window_over_branch (window ÷ that mean), n (seeds), fall, gain, gap
        (average − trip), all nats; ratio (gap ÷ gain) with ratio_low and ratio_high (Fieller; empty where unbounded);
        tested_low and tested_high, the same of confidence 1 − 2 `level`: the tests show that average and trip are equal
        if all of it is within the limits, and the gain is clear of 0; outcome. A trip that diverged differs, untested.
    """
    return pd.DataFrame(_rows(points, rates_over_batch(batch_losses, config), config), columns=COLUMNS)


def _rows(points: Table, rates: pd.Series, config: Config) -> Iterator[dict[str, Any]]:
    rows = points.query("split == 'validation' and metric == 'loss' and branch > 0")
    together = rows["branch"].where(~rows["late"], 0)  # late ones as one
    for key, here in rows.groupby([rows["kernel"], together, rows["window_steps"]]):
        kernel, window = str(key[0]), int(key[2])  # type: ignore[index, call-overload]
        branches = here["branch"].unique()
        yield {
            "variant": config.variant,
            "schedule": config.burn_in.schedule,
            "rate_over_batch": float(rates.loc[branches].mean()),
            "kernel": kernel,
            "branch": float(branches.mean()),
            "branch_points": len(branches),
            "late": bool(here["late"].all()),
            "window_steps": window,
            "window_over_branch": window / float(branches.mean()),
            "fall": here["fall"].mean(),
            **_judged(here, config.claims),
        }


def _judged(here: Table, claims: Claims) -> dict[str, Any]:
    """Gap, gain, ratio and outcome over the seeds whose trips have a score."""
    known = here.dropna(subset=["average_minus_trip", "gain"])
    seeds = known.groupby("seed")[["average_minus_trip", "gain"]].mean()
    found: dict[str, Any] = {"n": len(seeds), "outcome": DIFFERS}
    if seeds.empty:
        return found
    gap, gain = seeds["average_minus_trip"].to_numpy(float), seeds["gain"].to_numpy(float)
    judged = judge_equal(gap, gain, claims.average_is_schedule, claims)
    ratio, tested = (fieller(gap, gain, confidence) for confidence in (claims.confidence, 1 - 2 * claims.level))
    found |= {"gap": gap.mean(), "gain": gain.mean(), "ratio": ratio.value}
    if ratio.bounded:
        found |= {"ratio_low": ratio.low, "ratio_high": ratio.high}
    if len(known) < len(here):
        return found
    if tested.bounded:
        found |= {"tested_low": tested.low, "tested_high": tested.high}
    return found | {"outcome": judged.outcome}
