"""Figures of all experiments that a variant has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.experiments.registry import Experiment, shown


def figures_of(experiment: Experiment, tables: Mapping[str, pd.DataFrame], config: Config) -> Mapping[str, Figure]:
    """The figures of one experiment by name; from all tables, the derived ones among them."""
    found: Mapping[str, Figure] = experiment.part("figure").draw(tables, config)
    return found


def figures(tables: Mapping[str, pd.DataFrame], config: Config) -> Iterator[tuple[str, Figure]]:
    """Every figure with its name."""
    for experiment in shown(config):
        yield from figures_of(experiment, tables, config).items()
