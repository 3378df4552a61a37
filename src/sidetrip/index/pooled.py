"""What is true of a run that several variants make: its statements, judged by the seeds of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError

from sidetrip.config import Config
from sidetrip.config.errors import ConfigError
from sidetrip.experiments.claims import row_of, statements
from sidetrip.experiments.registry import Experiment, shown
from sidetrip.index.runs import Run, gathered, with_seeds
from sidetrip.verdicts.records import NOT_MEASURED, Judged, Tables

APART = {"forecast"}  # its law was chosen with some seeds and is tested by others: the two tell different things
FROM_EARLY = {"divergence"}  # else no verdict rests on an early branch point

Row = dict[str, Any]
Rows = Mapping[str, Mapping[str, Row]]


def rows_of(reports: Path, run: Run, claims: Mapping[str, Sequence[Row]], configs: Mapping[str, Config]) -> Rows:
    """Rows of claims.json of a run: as its variants have them, and judged anew where several measured the same.

    Parameters
    ----------
    reports : Path
        Folder of the reports.
    run : Run
        Of `index.runs.runs_in_order`.
    claims, configs : mapping
        Rows of claims.json and settings, by variant.

    Returns
    -------
    mapping of str to mapping
        By statement: one row by the name of the run; where several variants measured what is judged apart, the rows
        by theirs.

    Raises
    ------
    ConfigError
        If a report lacks a setting that is needed to judge its tables together with those of others.
    """
    by_id: dict[str, dict[str, Row]] = {}
    for variant in run.variants:
        for row in claims[variant]:
            by_id.setdefault(row["id"], {})[variant] = row
    found = {name: _measured(rows) for name, rows in by_id.items()}

    @cache  # most experiments have the same variants
    def tables_of(variants: tuple[str, ...]) -> Tables:
        names = {path.stem for variant in variants for path in (reports / variant / "tables").glob("*.csv")}
        return {name: gathered(reports, variants, name) for name in sorted(names)}

    for experiment in shown():
        having = tuple(_having(experiment, run, configs))
        if len(having) > 1 and experiment.name not in APART:
            for name, row in _judged(experiment, tables_of(having), having, configs).items():
                others = {variant: rest for variant, rest in found.get(name, {}).items() if variant not in having}
                found[name] = {run.name: row, **others}
    return found


def _measured(rows: Mapping[str, Row]) -> Mapping[str, Row]:
    """Those of the variants that measured a statement; if none did, the first, which says why."""
    measured = {variant: row for variant, row in rows.items() if row["verdict"] != NOT_MEASURED}
    return measured or dict(list(rows.items())[:1])


def _having(experiment: Experiment, run: Run, configs: Mapping[str, Config]) -> list[str]:
    """The variants of a run that measured an experiment with the settings of the first that did."""
    found: dict[str, object] = {}
    for variant in run.variants:
        settings = cast(DictConfig, configs[variant])
        if settings.experiments.get(experiment.name, True):
            # What side_trips has in its section is the same in all of them, but for running averages.
            section = None if experiment.name == "side_trips" else settings.get(experiment.name)
            found[variant] = (section, settings.branch.early if experiment.name in FROM_EARLY else None)
    return [variant for variant, settings in found.items() if settings == next(iter(found.values()))]


def _judged(
    experiment: Experiment, tables: Tables, variants: Sequence[str], configs: Mapping[str, Config]
) -> dict[str, Row]:
    seeds = sorted({seed for variant in variants for seed in configs[variant].seeds})
    settings = with_seeds(configs[variants[0]], seeds)
    known = {statement.id: statement for statement in statements()}
    try:
        judged: Judged = experiment.part("verdict").judge(tables, settings)
    except ConfigAttributeError as error:
        raise ConfigError(
            f"reports/{variants[0]}/config.yaml has no {error.full_key}, which its verdicts together with those "
            f"of {', '.join(variants[1:])} need; make its report anew, or add the key there"
        ) from error
    thresholds = {str(name): value for name, value in cast(DictConfig, settings.claims).items()}
    return {
        name: row_of(known[name], found, known[name].criterion.format(**thresholds)) for name, found in judged.items()
    }
