"""Figures are closed after every test: pyplot keeps them otherwise."""

import matplotlib.pyplot as plt
import pytest

from sidetrip.report import style


@pytest.fixture(autouse=True)
def figures():
    style.apply_style()
    yield
    plt.close("all")
