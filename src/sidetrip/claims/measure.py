"""All rows of claims.json."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from sidetrip.claims import averages, quadratic, single_step
from sidetrip.claims.statements import STATEMENTS
from sidetrip.claims.statistics import NOT_MEASURED, Tables
from sidetrip.config import Config

UNMEASURED = "no stage of this pipeline measures it yet"


def measure(tables: Tables, config: Config) -> list[dict[str, Any]]:
    """Rows of claims.json: every statement, measured or with the reason why not.

    Parameters
    ----------
    tables : dict of str to DataFrame
        The tables of all experiments.
    config : Config
        Thresholds and settings.
    """
    found = single_step.judge(tables, config) | averages.judge(tables, config) | quadratic.judge(tables, config)
    rows = []
    for statement in STATEMENTS:
        row: dict[str, Any] = asdict(statement)
        row["criterion"] = statement.criterion.format(**asdict(config.claims))
        measured = found.get(statement.id)
        if measured is None or not math.isfinite(measured.value):
            reason = UNMEASURED if measured is None else "the number is not finite: a drop or a gain is zero"
            row |= {"value": None, "low": None, "high": None, "n": 0, "verdict": NOT_MEASURED, "reason": reason}
        else:
            values = {key: _json_number(getattr(measured, key)) for key in ("value", "low", "high")}
            row |= values | {"n": measured.n, "verdict": measured.verdict, "detail": measured.detail}
        rows.append(row)
    return rows


def _json_number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
