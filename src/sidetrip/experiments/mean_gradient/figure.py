"""Average minus trip with the noise of one run's batches, and with less of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.statistics import fieller
from sidetrip.verdicts.wording import method_words, methods_in_order

MEANS = (  # column, label, colour
    ("of_weights", "means of the weights of runs on one batch sequence each", style.MOMENTARY),
    ("of_gradients", "one run on the mean of their gradients", style.OWN),
)


def differences(table: pd.DataFrame, confidence: float) -> Figure:
    """Two marks with their intervals over seeds for each method."""
    methods = methods_in_order(table["kernel"])
    figure, axes = plt.subplots(figsize=(style.WIDE, 1.6 + 0.7 * len(methods)))
    for number, method in enumerate(methods):
        here = table[table["kernel"] == method].dropna()
        for below, (column, label, color) in enumerate(MEANS):
            found = fieller(here[column].to_numpy(float), here["gain"].to_numpy(float), confidence)
            reach = np.array([[found.value - found.low], [found.high - found.value]]) if found.bounded else None
            look: dict[str, Any] = {"fmt": "os"[below], "ms": 6, "color": color, "capsize": 3, "lw": 1.4}
            axes.errorbar(found.value, number + 0.25 * below, xerr=reach, label=label, **look)
    axes.axvline(0.0, color="black", lw=0.8)
    axes.set_yticks([number + 0.125 for number in range(len(methods))], [method_words(each).title for each in methods])
    axes.invert_yaxis()
    axes.set(xlabel="(average − trip) ÷ gain, validation loss\n← average ends better                trip ends better →")
    style.legend_below(figure, axes, columns=1)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name; none where every trip diverged."""
    found = tables["mean_gradient_parts"].query("split == 'validation'").dropna()
    return {} if found.empty else {"mean_gradient": differences(found, config.claims.confidence)}
