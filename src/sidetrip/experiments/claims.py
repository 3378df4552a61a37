"""All rows of claims.json, and the tables that verdicts, figures and report share."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.methods import NAMES
from sidetrip.experiments.registry import shown
from sidetrip.verdicts.equivalence_map import map_points
from sidetrip.verdicts.records import NOT_MEASURED, UNDECIDED, Found, Interval, NotMeasured, Regime, Tables
from sidetrip.verdicts.scores import by_point
from sidetrip.verdicts.statements import AFTER_METHODS, BEFORE_METHODS, Statement, average_is_schedule
from sidetrip.verdicts.wording import OURS

LEFT_OUT = "this variant leaves its experiment out"
DIGITS = 6  # of the numbers in claims.json


def statements() -> tuple[Statement, ...]:
    """All statements: the paper's in its order, then this project's own, most of which stand with their judges."""
    of_judges = (statement for each in shown() for statement in getattr(each.part("verdict"), "STATEMENTS", ()))
    found = (*BEFORE_METHODS, *map(average_is_schedule, NAMES), *AFTER_METHODS, *of_judges)
    return tuple(sorted(found, key=lambda each: each.source == OURS))


def derived(tables: Tables, config: Config) -> dict[str, pd.DataFrame]:
    """The derived tables that a report keeps, by name: those of the experiments that the variant has."""
    points = by_point(tables, config, NAMES)
    found = {"by_point": points, "equivalence_map": map_points(points, tables["batch_losses"], config)}
    for experiment in shown(config):
        if derive := getattr(experiment.part("verdict"), "derived", None):
            found |= derive(tables, config)
    return found


def measure(tables: Tables, config: Config) -> list[dict[str, Any]]:
    """Rows of claims.json: every statement, measured or with the reason why not.

    Those of the analytic model belong to no variant: they stand where it is computed, and nowhere else.

    Returns
    -------
    list of dict
        id, source, statement, criterion, analytic; value, low, high (null: infinite), n, unit, quantity, verdict,
        part, detail; outcome of comparisons for equality;
        ratio (value, low, high) where average and trip are compared; regime, what applies of its fields;
        seeds_needed of undecided rows (null: more than 100, or no spread to count from); reason of rows that were
        not measured.

    Raises
    ------
    ValueError
        If a judge names a statement that is not there, two judges name the same, or none judges one.
    """
    found = judged(tables, config)
    analytic = "quadratic" not in config.left_out
    thresholds = asdict(config.claims)
    return [row_of(each, found[each.id], thresholds) for each in statements() if analytic or not each.analytic]


def judged(tables: Tables, config: Config) -> Mapping[str, Found]:
    """What the judges of all experiments found, by statement; those of an experiment left out are not measured."""
    found: dict[str, Found] = {}
    for experiment in shown(config):
        results = experiment.part("verdict").judge(tables, config)
        if again := found.keys() & results.keys():
            raise ValueError(f"{experiment.name} judges again: {', '.join(sorted(again))}")
        found |= results
    known = {statement.id for statement in statements()}
    if unknown := found.keys() - known:
        raise ValueError(f"judged, but stated nowhere: {', '.join(sorted(unknown))}")
    missing = known - found.keys()
    if missing and not config.left_out:
        raise ValueError(f"stated, but judged by none: {', '.join(sorted(missing))}")
    return found | {name: NotMeasured(LEFT_OUT) for name in missing}


def row_of(statement: Statement, found: Found, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """A row of claims.json, as `measure` describes it."""
    row: dict[str, Any] = {
        "id": statement.id,
        "source": statement.source,
        "statement": statement.statement,
        "criterion": statement.criterion.format(**thresholds),
        "analytic": statement.analytic,
    }
    if isinstance(found, NotMeasured):
        row |= {"value": None, "low": None, "high": None, "n": 0, "verdict": NOT_MEASURED, "reason": found.reason}
    else:
        row |= _numbers(found.interval)
        row |= {name: getattr(found, name) for name in ("n", "unit", "quantity", "verdict", "part", "detail")}
        if found.outcome:
            row["outcome"] = found.outcome
        if found.ratio is not None:
            row["ratio"] = _numbers(found.ratio)
        if found.verdict == UNDECIDED:
            row["seeds_needed"] = found.seeds_needed
    return row | {"regime": _regime(found.regime)}


def _regime(regime: Regime) -> dict[str, float | None]:
    """What applies of a regime; a window that gains nothing keeps its fall ÷ gain, as null."""
    found = {key: _json_number(value) for key, value in asdict(regime).items() if value is not None}
    if regime.window_over_branch is not None:
        found.setdefault("fall_over_gain", None)
    return found


def _numbers(interval: Interval) -> dict[str, float | None]:
    return {key: _json_number(value) for key, value in asdict(interval).items()}


def _json_number(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
