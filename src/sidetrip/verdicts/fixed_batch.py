"""Statements about trips on one fixed batch (Fig. 3)."""

from __future__ import annotations

import numpy as np

from sidetrip.config import Config
from sidetrip.verdicts.statistics import PAIR, Measured, Table, Tables, both, judge_mean

EARLY = 3  # steps within which the loss is to be near 0


def barriers(table: Table) -> Table:
    """Barrier between the runs after the last step: seed, branch, batch, barrier.

    Largest loss above the straight line between the ends, relative to the mean loss of the two before
    their first step; empty where a run has diverged.
    """
    keys = [*PAIR, "batch"]
    last = table[table["steps"] == table["steps"].max()]
    before = table[(table["steps"] == 0) & table["alpha"].isin([0.0, 1.0])]

    def height(rows: Table) -> float:
        rows = rows.sort_values("alpha")
        loss, alpha = rows["loss"].to_numpy(), rows["alpha"].to_numpy()
        return float(np.max(loss - ((1 - alpha) * loss[0] + alpha * loss[-1])))

    heights = last.groupby(keys)[["alpha", "loss"]].apply(height)
    return (heights / before.groupby(keys)["loss"].mean()).rename("barrier").reset_index()


def early_losses(table: Table) -> Table:
    """Own-batch loss after three steps ÷ before, mean of both runs: seed, branch, ratio."""
    keys = [*PAIR, "alpha"]
    ends = table[(table["batch"] == "own") & table["alpha"].isin([0.0, 1.0])].set_index(keys)
    ratio = ends.loc[ends["steps"] == EARLY, "loss"] / ends.loc[ends["steps"] == 0, "loss"]
    return ratio.groupby(PAIR).mean().rename("ratio").reset_index()


def judge(tables: Tables, config: Config) -> dict[str, Measured]:
    """Judge the rows fixed_batch_floor and fixed_batch_basin; none if there is no pair of branch points."""
    table, claims = tables.get("fixed_batch"), config.claims
    if table is None or table.empty:
        return {}
    floor = early_losses(table)["ratio"].to_numpy()
    heights = barriers(table)
    parts = {
        batch: judge_mean(
            heights.loc[heights["batch"] == batch, "barrier"].to_numpy(), claims, below=claims.fixed_batch_basin
        )
        for batch in ("own", "held_out")
    }
    return {
        "fixed_batch_floor": judge_mean(floor, claims, below=claims.fixed_batch_floor),
        "fixed_batch_basin": both(parts),
    }
