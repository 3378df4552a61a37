"""Where averaging replaces decay, and where it stops: all variants, windows, branch points and methods together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sidetrip.config import Claims, Config
from sidetrip.verdicts.records import NOT_REPRODUCED, REPRODUCED, Table, Tables
from sidetrip.verdicts.regime import rates_over_batch
from sidetrip.verdicts.scores import by_point
from sidetrip.verdicts.statistics import fieller, judge_equal

EQUIVALENT, NOT_EQUIVALENT, UNKNOWN = "equivalent", "not equivalent", "unknown"
SHOWN = {REPRODUCED: EQUIVALENT, NOT_REPRODUCED: NOT_EQUIVALENT}
COLUMNS = ["variant", "schedule", "rate_over_batch", "kernel", "branch", "late", "window_steps", "window_over_branch"]
COLUMNS += ["n", "fall", "gain", "gap", "ratio", "ratio_low", "ratio_high", "verdict"]


@dataclass(frozen=True)
class VariantPoints:
    """What the map needs of a variant.

    Attributes
    ----------
    variant, schedule : str
        Its name, and how its rate goes.
    rate_over_batch : Series
        λ/B by step of the main trajectory.
    points : DataFrame
        Of `scores.by_point`.
    """

    variant: str
    schedule: str
    rate_over_batch: pd.Series
    points: Table


def variant_points(tables: Tables, config: Config, methods: Iterable[str]) -> VariantPoints:
    """What the map needs of the variant with these tables."""
    rates = rates_over_batch(tables["batch_losses"], config)
    return VariantPoints(config.variant, config.burn_in.schedule, rates, by_point(tables, config, methods))


def map_points(variants: Iterable[VariantPoints], claims: Claims) -> Table:
    """Whether average and trip are equal in validation loss, judged over seeds at each branch point and window.

    Early branch points and all windows of a method are on the map; a branch point at step 0 has no place on it.

    Returns
    -------
    DataFrame
        variant, schedule, rate_over_batch (λ/B at the branch point), kernel, branch, late, window_steps,
        window_over_branch, n (seeds), fall, gain, gap (average − trip), all nats; ratio (gap ÷ gain) with ratio_low
        and ratio_high (Fieller; empty where unbounded); verdict (equivalent, not equivalent, unknown). A trip that
        diverged is not equivalent.
    """
    rows = [row for variant in variants for row in _of_variant(variant, claims)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_variant(variant: VariantPoints, claims: Claims) -> Iterable[dict[str, Any]]:
    rows = variant.points.query("split == 'validation' and metric == 'loss' and branch > 0")
    for key, here in rows.groupby(["kernel", "branch", "late", "window_steps"]):
        kernel, branch, late, window = str(key[0]), int(key[1]), bool(key[2]), int(key[3])  # type: ignore[call-overload]
        known = here.dropna(subset=["average_minus_trip", "gain"]).sort_values("seed")
        yield {
            "variant": variant.variant,
            "schedule": variant.schedule,
            "rate_over_batch": float(variant.rate_over_batch.loc[branch]),
            "kernel": kernel,
            "branch": branch,
            "late": late,
            "window_steps": window,
            "window_over_branch": window / branch,
            "fall": here["fall"].mean(),
            **_judged(known, claims, diverged=len(known) < len(here)),
        }


def _judged(known: Table, claims: Claims, diverged: bool) -> dict[str, Any]:
    """Gap, gain, ratio and verdict over the seeds whose trip has a score."""
    found: dict[str, Any] = {"n": len(known), "verdict": NOT_EQUIVALENT}
    if known.empty:
        return found
    gap, gain = known["average_minus_trip"].to_numpy(float), known["gain"].to_numpy(float)
    judged, ratio = judge_equal(gap, gain, claims.average_is_schedule, claims), fieller(gap, gain, claims.confidence)
    found |= {"gap": gap.mean(), "gain": gain.mean(), "ratio": ratio.value}
    if ratio.bounded:
        found |= {"ratio_low": ratio.low, "ratio_high": ratio.high}
    return found if diverged else found | {"verdict": SHOWN.get(judged.verdict, UNKNOWN)}
