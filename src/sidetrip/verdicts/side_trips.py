"""Statements about averages and the trips with their schedules (Table 1, Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
from dataclasses import replace

from sidetrip.config import Claims, Config
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.statistics import NOT_REPRODUCED, PAIR, Measured, Table, Tables, both, judge_mean, judge_ratio

KERNELS = tuple(method.name for method in METHODS)
CONTROLS = {"ema_reversed": "ema", "ema_shuffled": "ema"}  # kernel to the one whose trip it is held against


def compared(side_trips: Table, kernel: str, average: str | None = None) -> Table:
    """Momentary, average and trip side by side at the widest window of a kernel; one row a pair, metric and split.

    With `average`, the average is that of another kernel, of the same window.
    """
    window = side_trips.loc[side_trips["kernel"] == kernel, "window_steps"].max()
    source = {"momentary": "none", "average": average or kernel, "trip": kernel}
    rows = side_trips[
        (side_trips["kernel"] == side_trips["model"].map(source)) & (side_trips["window_steps"] == window)
    ]
    long = rows.melt([*PAIR, "model", "split"], ["loss", "accuracy"], var_name="metric", value_name="score")
    return long.pivot_table(index=["metric", "split", *PAIR], columns="model", values="score", dropna=False)


def average_is_schedule(side_trips: Table, kernel: str, claims: Claims, average: str | None = None) -> Measured:
    """Judge (average - trip) ÷ (average - momentary) at the widest window: loss and accuracy, train and validation.

    `average` puts another kernel's average in the place of the true one (negative controls). A trip that
    diverged is not equivalent to anything.
    """
    limit, parts, lost = claims.average_is_schedule, {}, False
    true, table = compared(side_trips, kernel), compared(side_trips, kernel, average)
    for metric, split in itertools.product(("accuracy", "loss"), ("train", "validation")):
        here, reference = (t.xs((metric, split), level=("metric", "split")) for t in (table, true))
        gap, gain = here["average"] - here["trip"], reference["average"] - reference["momentary"]
        kept = gap.notna() & gain.notna()
        lost |= not kept.all()
        columns = gap[kept].to_numpy(), gain[kept].to_numpy()
        parts[f"{split} {metric}"] = judge_ratio(*columns, claims, below=limit, above=-limit)
    found = both(parts)
    return replace(found, verdict=NOT_REPRODUCED, pairs_needed=None) if lost else found


def _averaging_helps(side_trips: Table, claims: Claims) -> Measured:
    parts = {}
    for kernel in KERNELS:
        rows = compared(side_trips, kernel).xs(("loss", "validation"), level=("metric", "split"))
        parts[kernel] = judge_mean((rows["momentary"] - rows["average"]).to_numpy(), claims, above=0.0)
    return both(parts)


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows average_is_schedule_*, averaging_helps and, if the main schedule is a cosine, cosine_run."""
    side_trips, claims = tables["side_trips"], config.claims
    each = {kernel: average_is_schedule(side_trips, kernel, claims) for kernel in KERNELS}
    results = {f"average_is_schedule_{kernel}": found for kernel, found in each.items()}
    results["averaging_helps"] = _averaging_helps(side_trips, claims)
    if config.burn_in.schedule == "cosine":
        results["cosine_run"] = both(each)
    return results
