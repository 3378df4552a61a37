"""Predicted and measured (average − trip) ÷ gain, by method and window."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words, methods_in_order


def second_order(table: pd.DataFrame, confidence: float) -> Figure:
    """A pair of marks for each method and window: measured with its interval over seeds, and predicted."""
    table = table.dropna()
    groups = [
        (kernel, window, here)
        for kernel in methods_in_order(table["kernel"])
        for window, here in table[table["kernel"] == kernel].groupby("window_steps")
    ]
    figure, axes = plt.subplots(figsize=(7.4, 1.2 + 0.42 * len(groups)))
    for place, (_, _, here) in enumerate(groups):
        for column, colour, marker, shift, label in (
            ("measured", style.MOMENTARY, "o", -0.13, "measured, with its interval over seeds"),
            ("predicted", style.OWN, "D", 0.13, "predicted from the measured curvature"),
        ):
            found = student_interval(here[column].to_numpy(float), confidence)
            style.mark(axes, found, place + shift, label=label, color=colour, fmt=marker)
    axes.axvline(0.0, color="black", lw=0.8)
    names = [f"{method_words(kernel).title}, {window} steps" for kernel, window, _ in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set(ylim=(len(groups) - 0.5, -0.5))
    axes.set(xlabel="(average − trip) ÷ gain, validation loss\n← average ends better                trip ends better →")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name, where the model applies."""
    found = tables.get("second_order")
    if found is None or found.dropna().empty:
        return {}
    return {"second_order": second_order(found, config.claims.confidence)}
