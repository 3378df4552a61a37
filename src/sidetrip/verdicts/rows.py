"""All rows of claims.json."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from sidetrip.config import Config
from sidetrip.verdicts import alignment, divergence, fixed_batch, quadratic, side_trips, single_step
from sidetrip.verdicts.statements import STATEMENTS
from sidetrip.verdicts.statistics import NOT_MEASURED, UNDECIDED, Measured, Tables

EXPERIMENTS = (single_step, fixed_batch, side_trips, divergence, alignment, quadratic)
REASONS = {
    "cosine_run": "the main schedule of this variant is not a cosine; fashion_mnist_cosine measures it",
    "fixed_batch_floor": "it takes two branch points of a seed; add one to branch.points",
    "fixed_batch_basin": "it takes two branch points of a seed; add one to branch.points",
    "batch_size_gap": "no step lowers the held-out loss at some batch size, or there is only one batch size",
}
OTHERWISE = "the number is not finite: a drop or a gain is zero, or every trip diverged"


def measure(tables: Tables, config: Config) -> list[dict[str, Any]]:
    """Rows of claims.json: every statement, measured or with the reason why not.

    Parameters
    ----------
    tables : dict of str to DataFrame
        The tables of all experiments.
    config : Config
        Thresholds and settings.
    """
    found: dict[str, Measured] = {}
    for experiment in EXPERIMENTS:
        found |= experiment.judge(tables, config)
    rows = []
    for statement in STATEMENTS:
        row: dict[str, Any] = asdict(statement)
        row["criterion"] = statement.criterion.format(**asdict(config.claims))
        measured = found.get(statement.id)
        if measured is None or not math.isfinite(measured.value):
            reason = REASONS.get(statement.id, OTHERWISE)
            row |= {"value": None, "low": None, "high": None, "n": 0, "verdict": NOT_MEASURED, "reason": reason}
        else:
            values = {key: _json_number(getattr(measured, key)) for key in ("value", "low", "high")}
            row |= values | {"n": measured.n, "verdict": measured.verdict, "detail": measured.detail}
            if measured.verdict == UNDECIDED:
                row["pairs_needed"] = measured.pairs_needed
        rows.append(row)
    return rows


def _json_number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
