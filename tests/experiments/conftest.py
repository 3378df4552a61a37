"""Tables made by hand and the figures of them, which look as they do in reports."""

from functools import cache
from importlib import import_module

import pytest
from report_tables import all_tables
from verdict_tables import config

from sidetrip.report import style


@pytest.fixture(scope="session")
def tables():
    """Of a small variant; no test changes them."""
    return all_tables()


@pytest.fixture(scope="session")
def drawn(tables):
    """Gives the figures of an experiment, by name; drawn once."""
    style.apply_style()
    return cache(lambda experiment: import_module(f"sidetrip.experiments.{experiment}.figure").draw(tables, config()))
