"""Figures look as they do in reports."""

import pytest

from sidetrip.report import style


@pytest.fixture(autouse=True)
def figures():
    style.apply_style()
