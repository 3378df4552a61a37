"""Statements about trips on one fixed batch (Fig. 3 of DOI 10.48550/arXiv.2301.02312)."""

from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import POINT, Found, Judged, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.statistics import all_of, failed, judge_seeds, late

LINE = [*POINT, "pair", "fixed_batch", "batch"]
EARLY = 3  # steps within which the loss is to be near 0
NAMES = ("fixed_batch_floor", "fixed_batch_held_out", "fixed_batch_basin")
BATCHES = {"own": "the fixed batch", "held_out": "a held-out batch"}
DIVERGED, ALL_DIVERGED = "a run on the fixed batch diverged", "every run on the fixed batch diverged"


def lines(table: Table) -> Table:
    """What the last line between two runs shows, for each branch point, fixed batch and kind of batch.

    Returns
    -------
    DataFrame
        seed, branch, pair, fixed_batch, batch; before (mean loss of the two ends before their first step), rise
        (highest loss on the line over the worse end, relative to `before`), rise_over_line (over the straight line
        between the ends, relative to `before`); empty where a run has diverged.
    """
    rows = []
    for key, here in table.groupby(LINE):
        before = here[(here["steps"] == 0) & here["alpha"].isin([0.0, 1.0])]["loss"].mean()
        last = here[here["steps"] == here["steps"].max()].sort_values("alpha")
        loss, alpha = last["loss"].to_numpy(), last["alpha"].to_numpy()
        straight = (1 - alpha) * loss[0] + alpha * loss[-1]
        rise, over = (loss - max(loss[0], loss[-1])).max(), (loss - straight).max()
        rows.append((*key, before, rise / before, over / before))
    return pd.DataFrame(rows, columns=[*LINE, "before", "rise", "rise_over_line"])


def loss_ratios(table: Table, batch: str, steps: int) -> pd.Series:
    """Loss after so many steps ÷ before the first, mean of both runs and of the fixed batches; by seed and point."""
    keys = [*POINT, "fixed_batch", "alpha"]
    ends = table[(table["batch"] == batch) & table["alpha"].isin([0.0, 1.0])].set_index(keys)
    ratio = ends.loc[ends["steps"] == steps, "loss"] / ends.loc[ends["steps"] == 0, "loss"]
    return ratio.groupby(POINT).mean()


def _basin(table: Table, config: Config) -> Found:
    """The rise over the worse end, for the own and for the held-out batch; that over the straight line beside it.

    Between runs of two initialisations, on the same batch, a ridge must show: else the criterion could not fail.
    """
    found, limit, parts = lines(table).set_index(POINT), config.claims.fixed_batch_basin, {}
    for batch, title in BATCHES.items():
        here = found[(found["batch"] == batch) & (found["pair"] == "run")]
        judged = judge_seeds(here["rise"], config.claims, ALL_DIVERGED, below=limit)
        if isinstance(judged, NotMeasured):
            return judged
        over = f"over the straight line {here['rise_over_line'].mean():.3g}"
        parts[title] = replace(judged, detail=joined(over, judged.detail))
    control = found[(found["batch"] == "own") & (found["pair"] == "initialisations")]
    ridge = judge_seeds(control["rise"], config.claims, "no control was run", above=limit)
    if not isinstance(ridge, NotMeasured):
        parts["the control, a ridge between two initialisations"] = ridge
    return all_of(parts, config.claims.level)


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows fixed_batch_*."""
    table, claims = late(tables["fixed_batch"], config.branch.points), config.claims
    run = table[table["pair"] == "run"]
    regime = of_run(tables, config)
    if table.empty:
        reason = NotMeasured("no two late branch points have been compared; give branch.points two or more")
        return beside(dict.fromkeys(NAMES, reason), regime)
    last = int(table["steps"].max())
    results = {
        "fixed_batch_floor": judge_seeds(
            loss_ratios(run, "own", EARLY), claims, ALL_DIVERGED, below=claims.fixed_batch_floor
        ),
        "fixed_batch_held_out": judge_seeds(
            loss_ratios(run, "held_out", last), claims, ALL_DIVERGED, above=claims.fixed_batch_held_out
        ),
        "fixed_batch_basin": _basin(table, config),
    }
    if run["loss"].isna().any():
        results = {name: failed(found, DIVERGED) for name, found in results.items()}
    return beside(results, regime)
