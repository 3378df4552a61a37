"""All rows of claims.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sidetrip.config import Config
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts import alignment, divergence, fixed_batch, quadratic, side_trips, single_step
from sidetrip.verdicts.statements import statements
from sidetrip.verdicts.statistics import NOT_MEASURED, UNDECIDED, Interval, Measured, NotMeasured, Tables

JUDGES = (single_step, fixed_batch, side_trips, divergence, alignment, quadratic)
OTHERWISE = "the number is not finite: a drop or a gain is zero"
OF_METHOD = {f"average_is_schedule_{method.name}": method.name for method in METHODS} | {
    "averaging_helps": "swa",
    "midpoint_tracks_half_rate": "two_point",
    "midpoint_distance": "two_point",
    "cosine_run": "swa",
}


def measure(tables: Tables, config: Config) -> list[dict[str, Any]]:
    """Rows of claims.json: every statement, measured or with the reason why not.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of all experiments.
    config : Config
        Thresholds and settings.

    Returns
    -------
    list of dict
        id, source, statement, criterion; value, low, high, n, unit, quantity, verdict, regime (rate_over_batch,
        window_over_branch, fall_over_gain, where they apply), detail, part, ratio; seeds_needed of undecided rows
        (null: more than 100); reason of rows that were not measured.

    Raises
    ------
    ValueError
        If a judge names a statement that is not there, or none judges one.
    """
    found: dict[str, Measured | NotMeasured] = {}
    for judge in JUDGES:
        found |= judge.judge(tables, config)
    known = statements()
    if odd := {statement.id for statement in known} ^ found.keys():
        raise ValueError(f"statements and judges do not fit together: {', '.join(sorted(odd))}")
    averages = side_trips.regimes(tables, config)
    return [
        {
            "id": statement.id,
            "source": statement.source,
            "statement": statement.statement,
            "criterion": statement.criterion.format(**asdict(config.claims)),
            **_values(found[statement.id]),
            "regime": _regime(statement.id, averages, config),
        }
        for statement in known
    ]


def _values(found: Measured | NotMeasured) -> dict[str, Any]:
    if isinstance(found, NotMeasured) or not math.isfinite(found.interval.value):
        reason = found.reason if isinstance(found, NotMeasured) else OTHERWISE
        return {"value": None, "low": None, "high": None, "n": 0, "verdict": NOT_MEASURED, "reason": reason}
    row: dict[str, Any] = {
        **_numbers(found.interval),
        "n": found.n,
        "unit": found.unit,
        "quantity": found.quantity,
        "verdict": found.verdict,
    }
    row |= {"part": found.part, "detail": found.detail}
    if found.ratio is not None:
        row["ratio"] = _numbers(found.ratio)
    if found.verdict == UNDECIDED:
        row["seeds_needed"] = found.seeds_needed
    return row


def _regime(name: str, averages: Mapping[str, Mapping[str, float]], config: Config) -> dict[str, float | None]:
    if name in quadratic.ROWS:
        return {}
    found: dict[str, float | None] = {"rate_over_batch": _json_number(config.burn_in.rate / config.burn_in.batch_size)}
    if name in OF_METHOD:
        found |= {key: _json_number(value) for key, value in averages[OF_METHOD[name]].items()}
    return found


def _numbers(interval: Interval) -> dict[str, float | None]:
    return {key: _json_number(value) for key, value in asdict(interval).items()}


def _json_number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
