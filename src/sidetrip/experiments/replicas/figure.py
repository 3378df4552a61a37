"""What average and trip differ by, in the parts that it comes from, by method."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.statistics import fieller
from sidetrip.verdicts.wording import method_words, methods_in_order

PARTS = (  # column, its prediction, label
    ("noise", "predicted_noise", "noise since the branch point"),
    ("rest", "predicted_rest", "the rest"),
    ("difference", "predicted", "together"),
)


def replica_parts(table: pd.DataFrame, confidence: float) -> Figure:
    """A mark with its interval over seeds for each method and part, and the prediction where there is one."""
    methods = methods_in_order(table["kernel"])
    table = table.assign(predicted=table["predicted_noise"] + table["predicted_rest"])
    figure, axes = plt.subplots(figsize=(style.WIDE, 1.4 + 0.9 * len(methods)))
    labels = []
    for number, method in enumerate(methods):
        here = table[table["kernel"] == method]
        for below, (part, prediction, label) in enumerate(PARTS):
            place = number * (len(PARTS) + 0.7) + below
            labels.append((place, f"{method_words(method).title}: {label}"))
            found = fieller(here[part].to_numpy(float), here["gain"].to_numpy(float), confidence)
            measured = "measured, with its interval over seeds"
            style.mark(axes, found, place, label=measured, color=style.MOMENTARY, fmt="o")
            if here[prediction].notna().any():
                mark: dict[str, Any] = {"marker": "D", "ls": "", "mfc": "none", "mec": style.OWN, "mew": 1.5, "ms": 8}
                axes.plot(here[prediction].mean(), place, label="predicted from the measured curvature", **mark)
    axes.axvline(0.0, color="black", lw=0.8)
    axes.set_yticks(*zip(*labels, strict=True))
    axes.invert_yaxis()
    axes.set(xlabel="(average − trip) ÷ gain, validation loss\n← average ends better                trip ends better →")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name; none where every trip diverged."""
    found = tables["replica_parts"].query("split == 'validation'")
    return {} if found.empty else {"replica_parts": replica_parts(found, config.claims.confidence)}
