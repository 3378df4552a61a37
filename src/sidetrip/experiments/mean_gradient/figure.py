"""By how much means of weights lie above runs on the mean gradient: averages beside their trips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words, methods_in_order

MODELS = (  # name, label, colour, marker
    ("average", "average", style.AVERAGE, "o"),
    ("trip", "trip", style.TRIP, "s"),
    ("momentary", "the run, where a window ends", style.MOMENTARY, "D"),
)


def lifts(table: pd.DataFrame, confidence: float) -> Figure:
    """A row for each method and one for the run, a mark with its interval over seeds for each model."""
    methods = methods_in_order(set(table["kernel"]) - {"none"})
    rows = {method: number for number, method in enumerate(methods)}
    names = [method_words(method).title for method in methods]
    windows = sorted(table.loc[table["kernel"] == "none", "window_steps"].unique())
    figure, axes = plt.subplots(figsize=(style.WIDE, 1.8 + 0.5 * (len(methods) + len(windows))))
    for below, (model, label, color, marker) in enumerate(MODELS):
        for (kernel, window), here in table[table["model"] == model].groupby(["kernel", "window_steps"]):
            place = rows[kernel] + 0.25 * below if kernel in rows else len(rows) + windows.index(window)
            found = student_interval(here["lift"].to_numpy(float), confidence)
            reach = np.array([[found.value - found.low], [found.high - found.value]]) if found.bounded else None
            look: dict[str, Any] = {"fmt": marker, "ms": 6, "color": color, "capsize": 3, "lw": 1.4}
            axes.errorbar(found.value, place, xerr=reach, label=label, **look)
    axes.axvline(0.0, color="black", lw=0.8)
    places = [*(number + 0.125 for number in range(len(methods))), *range(len(rows), len(rows) + len(windows))]
    axes.set_yticks(places, [*names, *(f"Run, {window} steps" for window in windows)])
    axes.margins(y=0.12)
    axes.invert_yaxis()
    axes.set(xlabel="validation loss, nats: mean of the weights − run on the mean gradient")
    style.legend_below(figure, axes, columns=3)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name; none where every run diverged."""
    found = tables["mean_gradient_lifts"].query("split == 'validation'")
    return {} if found.empty else {"mean_gradient": lifts(found, config.claims.confidence)}
