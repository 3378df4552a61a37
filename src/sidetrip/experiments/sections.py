"""Sections of the report of all experiments that a variant has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.registry import Experiment, shown

Tables = Mapping[str, pd.DataFrame]


def sections(tables: Tables, config: Config) -> dict[str, Mapping[str, Any]]:
    """What the sections of the report show, by experiment."""
    return {experiment.name: _facts(experiment, tables, config) for experiment in shown(config)}


def _facts(experiment: Experiment, tables: Tables, config: Config) -> Mapping[str, Any]:
    there = Path(__file__).with_name(experiment.name).joinpath("section.py").is_file()
    found: Mapping[str, Any] = experiment.part("section").facts(tables, config) if there else {}
    return found
