"""Statements about trips on one fixed batch (Fig. 3)."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.statistics import POINT, Judged, NotMeasured, Table, Tables, all_of, by_seed, failed, judge_mean

EARLY = 3  # steps within which the loss is to be near 0


def lines(table: Table) -> Table:
    """What the last line between two runs shows, for each branch point and kind of batch.

    Returns
    -------
    DataFrame
        seed, branch, batch; before (mean loss of the two ends before their first step), rise (highest loss on the
        line over the worse end, relative to `before`), rise_over_line (over the straight line between the ends,
        relative to `before`); empty where a run has diverged.
    """
    rows = []
    for key, here in table.groupby([*POINT, "batch"]):
        before = here[(here["steps"] == 0) & here["alpha"].isin([0.0, 1.0])]["loss"].mean()
        last = here[here["steps"] == here["steps"].max()].sort_values("alpha")
        loss, alpha = last["loss"].to_numpy(), last["alpha"].to_numpy()
        straight = (1 - alpha) * loss[0] + alpha * loss[-1]
        rise, over = (loss - max(loss[0], loss[-1])).max(), (loss - straight).max()
        rows.append((*key, before, rise / before, over / before))
    return pd.DataFrame(rows, columns=[*POINT, "batch", "before", "rise", "rise_over_line"])


def loss_ratios(table: Table, batch: str, steps: int) -> pd.Series:
    """Loss after so many steps ÷ before the first, mean of the two runs; by seed and branch point."""
    keys = [*POINT, "alpha"]
    ends = table[(table["batch"] == batch) & table["alpha"].isin([0.0, 1.0])].set_index(keys)
    ratio = ends.loc[ends["steps"] == steps, "loss"] / ends.loc[ends["steps"] == 0, "loss"]
    return ratio.groupby(POINT).mean()


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows fixed_batch_*."""
    table, claims = tables["fixed_batch"], config.claims
    names = ("fixed_batch_floor", "fixed_batch_held_out", "fixed_batch_basin")
    if table.empty or table["loss"].isna().all():
        return dict.fromkeys(names, NotMeasured("every run on the fixed batch diverged"))
    last = int(table["steps"].max())
    own, held_out = loss_ratios(table, "own", EARLY), loss_ratios(table, "held_out", last)
    found = lines(table).set_index(POINT)
    parts = {}
    for batch, title in (("own", "the fixed batch"), ("held_out", "a held-out batch")):
        here = found[found["batch"] == batch]
        detail = f"over the straight line {here['rise_over_line'].mean():.3g}"
        judged = judge_mean(by_seed(here["rise"]).to_numpy(), claims, below=claims.fixed_batch_basin)
        parts[title] = replace(judged, detail=detail)
    results = {
        "fixed_batch_floor": judge_mean(by_seed(own).to_numpy(), claims, below=claims.fixed_batch_floor),
        "fixed_batch_held_out": judge_mean(by_seed(held_out).to_numpy(), claims, above=claims.fixed_batch_held_out),
        "fixed_batch_basin": all_of(parts, claims.level),
    }
    if table["loss"].isna().any():
        return {name: failed(row, "a run on the fixed batch diverged") for name, row in results.items()}
    return results
