"""Statements about averages and the trips with their schedules (Table 1, Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools

from sidetrip.claims.statistics import (
    NOT_REPRODUCED,
    PAIR,
    REPRODUCED,
    UNDECIDED,
    Measured,
    Table,
    Tables,
    interval,
    judge_mean,
    ratio_of_means,
    verdict,
)
from sidetrip.config import Claims, Config


def compared(side_trips: Table, kernel: str) -> Table:
    """Momentary, average and trip side by side at the widest window of a kernel; one row a pair, metric and split."""
    rows = side_trips[side_trips["kernel"].isin([kernel, "none"])]
    window = side_trips.loc[side_trips["kernel"] == kernel, "window_steps"].max()
    rows = rows[rows["window_steps"] == window]
    long = rows.melt([*PAIR, "model", "split"], ["loss", "accuracy"], var_name="metric", value_name="score")
    return long.pivot_table(index=["metric", "split", *PAIR], columns="model", values="score", dropna=False)


def _average_is_schedule(side_trips: Table, kernel: str, claims: Claims) -> Measured:
    limit, parts = claims.average_is_schedule, {}
    table = compared(side_trips, kernel)
    for metric, split in itertools.product(("accuracy", "loss"), ("train", "validation")):
        rows = table.xs((metric, split), level=("metric", "split"))
        kept = rows.dropna()  # a trip that diverged has no score
        columns = ((kept["average"] - kept["trip"]).to_numpy(), (kept["average"] - kept["momentary"]).to_numpy())
        parts[metric, split] = (*interval(ratio_of_means, columns, claims), len(kept), len(rows))
    judged = {key: verdict(low, high, below=limit, above=-limit) for key, (_, low, high, _, _) in parts.items()}
    overall = REPRODUCED if set(judged.values()) == {REPRODUCED} else UNDECIDED
    if NOT_REPRODUCED in judged.values() or any(n < of for *_, n, of in parts.values()):
        overall = NOT_REPRODUCED
    worst = max(parts, key=lambda key: abs(parts[key][0]))
    value, low, high, n, _ = parts[worst]
    detail = "; ".join(f"{split} {metric} {parts[metric, split][0]:+.2f}" for metric, split in parts)
    return Measured(value, low, high, n, overall, f"shown: {worst[1]} {worst[0]}; {detail}")


def _averaging_helps(side_trips: Table, claims: Claims) -> Measured:
    parts = {}
    for kernel in ("swa", "two_point", "ema"):
        rows = compared(side_trips, kernel).xs(("loss", "validation"), level=("metric", "split"))
        parts[kernel] = judge_mean((rows["momentary"] - rows["average"]).to_numpy(), claims, above=0.0)
    worst = min(parts.values(), key=lambda p: p.value)
    verdicts = {p.verdict for p in parts.values()}
    overall = next(v for v in (NOT_REPRODUCED, UNDECIDED, REPRODUCED) if v in verdicts)
    detail = "; ".join(f"{name} {p.value:+.4f}" for name, p in parts.items())
    return Measured(worst.value, worst.low, worst.high, worst.n, overall, f"shown: the smallest; {detail}")


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows average_is_schedule_* and averaging_helps."""
    found = {
        f"average_is_schedule_{kernel}": _average_is_schedule(tables["side_trips"], kernel, config.claims)
        for kernel in ("swa", "two_point", "ema")
    }
    return found | {"averaging_helps": _averaging_helps(tables["side_trips"], config.claims)}
