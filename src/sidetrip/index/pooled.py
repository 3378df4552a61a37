"""The statements of a run that several variants make, judged by the seeds of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from sidetrip.config import Config
from sidetrip.experiments.claims import row_of, statements
from sidetrip.experiments.registry import Experiment, shown
from sidetrip.index.runs import Run, gathered, with_seeds
from sidetrip.verdicts.records import NOT_MEASURED, Judged, Tables

APART = {"forecast"}  # its law was chosen with some seeds and is tested by others: the two tell different things
ALSO_OF = {"replicas": "curvature"}  # whose measurements the verdicts on an experiment use as well
FROM_EARLY = {"divergence"}  # the one experiment that starts from an early branch point

Row = dict[str, Any]
Rows = Mapping[str, Mapping[str, Row]]


def rows_of(
    reports: Path, run: Run, tables: Tables, claims: Mapping[str, Sequence[Row]], configs: Mapping[str, Config]
) -> Rows:
    """Rows of claims.json of a run: as its variants have them, and judged anew where several measured the same.

    Returns
    -------
    mapping of str to mapping
        By statement, rows by variant: one by the first of those that are judged together, each other one by its own.
    """
    by_id: dict[str, dict[str, Row]] = {}
    for variant in run.variants:
        for row in claims[variant]:
            by_id.setdefault(row["id"], {})[variant] = row
    found = {statement: _measured(rows) for statement, rows in by_id.items()}
    gathered_of = {run.variants: tables}  # by variants: those of the run measured most experiments
    for experiment in shown():
        for variants in _alike(experiment, run, configs):
            if variants not in gathered_of:
                gathered_of[variants] = gathered(reports, variants)
            for statement, row in _judged_together(experiment, gathered_of[variants], variants, configs).items():
                rest = found.get(statement, {})
                kept = {variant: rest[variant] for variant in rest if variant not in variants}
                found[statement] = {variants[0]: row, **kept}
    return found


def _measured(rows: Mapping[str, Row]) -> Mapping[str, Row]:
    """Those of the variants that measured a statement; if none did, the first, which says why."""
    measured = {variant: row for variant, row in rows.items() if row["verdict"] != NOT_MEASURED}
    return measured or dict(list(rows.items())[:1])


def _alike(experiment: Experiment, run: Run, configs: Mapping[str, Config]) -> Iterable[tuple[str, ...]]:
    """Variants of a run that measured an experiment with the same settings; not those that are alone with theirs."""
    if experiment.name in APART:
        return []
    groups: dict[str, list[str]] = {}
    for variant in run.variants:
        settings = cast(DictConfig, configs[variant])
        if not _has(settings, experiment.name):
            continue
        also = ALSO_OF.get(experiment.name)
        # What side_trips has in its own section is the same in all variants of a run, but for running averages.
        section = None if experiment.name == "side_trips" else settings.get(experiment.name)
        early = settings.branch.early if experiment.name in FROM_EARLY else None
        alike = repr((section, early, settings.get(also) if also and _has(settings, also) else None))
        groups.setdefault(alike, []).append(variant)
    return [tuple(variants) for variants in groups.values() if len(variants) > 1]


def _has(settings: DictConfig, experiment: str) -> bool:
    return experiment == "side_trips" or bool(settings.experiments.get(experiment, False))


def _judged_together(
    experiment: Experiment, tables: Tables, variants: Sequence[str], configs: Mapping[str, Config]
) -> dict[str, Row]:
    settings = with_seeds(configs[variants[0]], [seed for variant in variants for seed in configs[variant].seeds])
    judged: Judged = experiment.part("verdict").judge(tables, settings)
    thresholds = cast(DictConfig, settings.claims)
    return {each.id: row_of(each, judged[each.id], thresholds) for each in statements() if each.id in judged}
