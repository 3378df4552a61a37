"""Figures of all experiments that a variant has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.experiments.registry import shown


def figures(tables: Mapping[str, pd.DataFrame], config: Config) -> Iterator[tuple[str, Figure]]:
    """Every figure with its name; from all tables, the derived ones among them."""
    for experiment in shown(config):
        yield from experiment.part("figure").draw(tables, config).items()
