"""Sections of the report of all experiments that a variant has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.registry import Experiment, shown
from sidetrip.report.render import Section

Tables = Mapping[str, pd.DataFrame]


def sections(tables: Tables, config: Config) -> dict[str, Section]:
    """The sections of the report, by experiment."""
    return {experiment.name: _section(experiment, tables, config) for experiment in shown(config)}


def _section(experiment: Experiment, tables: Tables, config: Config) -> Section:
    folder = Path(__file__).with_name(experiment.name)
    facts = experiment.part("section").facts(tables, config) if (folder / "section.py").is_file() else {}
    return Section(f"experiments/{experiment.name}/section.md.j2", facts)
