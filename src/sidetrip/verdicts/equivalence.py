"""Whether an average and the trip with its schedule are equal in all four scores (Table 1).

The two coincide where a batch's gradient changes little: Lemma 2 and Table 1 of DOI 10.48550/arXiv.2301.02312.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import Found, Measured, NotMeasured, Table, joined
from sidetrip.verdicts.scores import METRICS, SIGN, SPLITS, TITLES, UNITS, of_score
from sidetrip.verdicts.statistics import all_of, by_seed, failed, fieller, judge_equal

DIVERGED, ALL_DIVERGED = "a trip diverged", "every trip diverged"


def average_is_schedule(scores: Table, window: int, config: Config) -> Found:
    """Judge whether average and trip are equal within a share of the gain, in loss and accuracy, on both splits.

    By `scores.late_scores` and their window in steps. A trip that diverged is not equivalent to anything.
    """
    return all_scores(scores, config, partial(_equal, scores, config), bend(config, window))


def all_scores(scores: Table, config: Config, judge_score: Callable[[str, str], Measured], note: str = "") -> Found:
    """Judge loss and accuracy, each on both splits."""
    if scores["gap"].isna().all():
        return NotMeasured(ALL_DIVERGED)
    parts = {f"{TITLES[split]} {metric}": judge_score(metric, split) for metric in METRICS for split in SPLITS}
    found = all_of(parts, config.claims.level)
    found = replace(found, detail=joined(found.detail, note))
    return failed(found, DIVERGED) if scores["gap"].isna().any() else found


def bend(config: Config, steps: int) -> str:
    """By how much decoupled weight decay bends the equivalence of average and trip, in words; empty without it.

    To first order, at one rate: `engine.optimizers`.
    """
    optimizer = config.burn_in.optimizer
    if optimizer.name != "adamw" or not optimizer.weight_decay:
        return ""
    share = 0.1 * config.burn_in.rate * optimizer.weight_decay * steps
    return f"decoupled weight decay parts the two by about rate × decay × steps ÷ 10 = {share:.2g} of the way"


def _equal(scores: Table, config: Config, metric: str, split: str) -> Measured:
    """One score. Its number is average − trip; its ratio is how far the average is behind the trip ÷ the gain."""
    here, (quantity, scale) = of_score(scores, metric, split), UNITS[metric]
    kept = here.dropna(subset=["gap", "gain"])
    gap, gain = (scale * by_seed(kept[name]).to_numpy() for name in ("gap", "gain"))
    judged = judge_equal(gap, gain, config.claims.average_is_schedule, config.claims)
    sd = scale * here["sd_of_one_iterate"].mean()
    spread = f", SD of one iterate {sd:.2g} {quantity}" if pd.notna(sd) else ""
    behind = fieller(SIGN[metric] * gap, gain, config.claims.confidence)
    detail = f"gain {gain.mean():.3g} {quantity}{spread}"
    return replace(judged, quantity=quantity, ratio=behind, detail=joined(detail, judged.detail))
