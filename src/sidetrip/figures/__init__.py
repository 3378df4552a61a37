"""Tables to figures, one module per experiment; none imports torch."""

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.experiments.pages import measured, providing

MODULES = providing("sidetrip.figures", "draw")


def figures(tables: Mapping[str, pd.DataFrame], config: Config) -> Iterator[tuple[str, Figure]]:
    """Every figure of the experiments that a variant has, with its name; from all tables."""
    for module in measured(MODULES, config):
        yield from module.draw(tables, config).items()
