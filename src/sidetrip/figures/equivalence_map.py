"""Where averaging replaces decay and where it stops, over the windows, branch points and rates of all variants."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.equivalence_map import EQUIVALENT, NOT_EQUIVALENT, UNKNOWN

MARKERS = {
    EQUIVALENT: ("o", "equal within a quarter of the gain"),
    NOT_EQUIVALENT: ("X", "not equal"),
    UNKNOWN: ("s", "not decided"),
}
COLOURS = "coolwarm"
LIMIT = 1.0  # of the ratio that colours show; beyond it they do not change
QUARTER = 0.25


def _panel(axes: Axes, points: pd.DataFrame, title: str) -> plt.cm.ScalarMappable:
    norm = TwoSlopeNorm(0.0, -LIMIT, LIMIT)
    for verdict, (marker, _) in MARKERS.items():
        for late, size in ((True, 70), (False, 30)):
            rows = points[(points["verdict"] == verdict) & (points["late"] == late)]
            axes.scatter(
                rows["window_over_branch"],
                rows["rate_over_batch"],
                s=size,
                marker=marker,
                edgecolor="black",
                lw=0.6,
                c=rows["ratio"].clip(-LIMIT, LIMIT),
                cmap=COLOURS,
                norm=norm,
                alpha=0.95,
            )
    axes.axvline(0.1, color="black", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", title=title, xlabel="window ÷ branch step")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(FixedLocator([0.01, 0.03, 0.1, 0.3, 1.0]))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return plt.cm.ScalarMappable(norm, COLOURS)


def draw_map(points: pd.DataFrame) -> Figure:
    """Draw the map, a panel for each method, and below it average − trip against the fall of the momentary loss.

    Parameters
    ----------
    points : DataFrame
        Of `verdicts.equivalence_map.map_points`, of all variants.
    """
    figure, panels = plt.subplots(2, len(METHODS), figsize=(1.6 + 3.1 * len(METHODS), 7.4), sharey="row", squeeze=False)
    for column, method in enumerate(METHODS):
        rows = points[points["kernel"] == method.name]
        scale = _panel(panels[0][column], rows, method.title)
        _against_fall(panels[1][column], rows)
    panels[0][0].set(ylabel="λ ÷ batch size")
    panels[1][0].set(ylabel="average − trip (nats)")
    figure.colorbar(scale, ax=panels[0][-1], label="(average − trip) ÷ gain")
    handles = [
        plt.Line2D([], [], ls="", marker=marker, mfc="white", mec="black", ms=8) for marker, _ in MARKERS.values()
    ]
    labels = [label for _, label in MARKERS.values()]
    handles += [
        plt.Line2D([], [], ls="", marker="o", mfc="white", mec="black", ms=5),
        plt.Line2D([], [], color="black", ls="--"),
    ]
    labels += ["small: early branch point", "¼ of the fall (quadratic model, two-point)"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _against_fall(axes: Axes, rows: pd.DataFrame) -> None:
    for verdict, (marker, _) in MARKERS.items():
        here = rows[rows["verdict"] == verdict]
        axes.scatter(here["fall"], here["gap"], s=36, marker=marker, facecolor="none", edgecolor="black", lw=0.9)
    top = max(float(rows["fall"].max()), 1e-3) if len(rows) else 1e-3
    axes.plot(np.array([0.0, top]), QUARTER * np.array([0.0, top]), color="black", lw=1, ls="--")
    axes.axhline(0.0, color="black", lw=0.6)
    axes.set(xlabel="fall of the momentary loss\nover the window (nats)")
