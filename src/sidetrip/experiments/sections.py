"""Sections of the report of all experiments that a variant has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidetrip.config import Config
from sidetrip.experiments.registry import shown
from sidetrip.verdicts.records import Tables


def sections(tables: Tables, config: Config) -> dict[str, Mapping[str, Any]]:
    """What the sections of the report show, by experiment; of one without a section.py, nothing."""
    found: dict[str, Mapping[str, Any]] = {}
    for experiment in shown(config):
        there = Path(__file__).with_name(experiment.name).joinpath("section.py").is_file()
        found[experiment.name] = experiment.part("section").facts(tables, config) if there else {}
    return found
