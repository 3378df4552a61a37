"""Fig. 6 and 8: distances in weight space along side trips."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.experiments.divergence.verdict import along_trips, distances_along
from sidetrip.report import style
from sidetrip.verdicts.statistics import POINT, late

LINES = {  # column: (label, colour, line style)
    "trip_to_independent": ("two λ trips on different batches", style.INDEPENDENT, "-"),
    "trip_to_start": ("λ trip to the branch point", style.MOMENTARY, "-"),
    "half_rate_to_start": ("λ/2 trip to the branch point", style.TRIP, "-"),
    "midpoint_to_start": ("midpoint to the branch point", style.AVERAGE, "-"),
    "midpoint_to_half_rate": ("midpoint to the λ/2 trip", style.AVERAGE, "--"),
}
MODELS = {
    "trip": ("λ trip", style.MOMENTARY),
    "midpoint": ("midpoint of trip and branch point", style.AVERAGE),
    "half_rate": ("λ/2 trip", style.TRIP),
}


def _curve(axes: Axes, table: pd.DataFrame, y: str, colour: str, label: str, line: str = "-") -> None:
    """Mean over seeds and branch points, with one standard deviation as a band."""
    found = table.groupby("trip_step")[y].agg(["mean", "std"])
    axes.plot(found.index, found["mean"], color=colour, ls=line, lw=1.8, label=label)
    low, high = found["mean"] - found["std"], found["mean"] + found["std"]
    axes.fill_between(found.index, low, high, color=colour, alpha=0.13, lw=0)


def changes(losses: pd.DataFrame, split: str) -> pd.DataFrame:
    """Losses of the three models less that of their branch point, in one split."""
    rows = losses[losses["split"] == split]
    start = rows[rows["trip_step"] == 0].set_index(POINT)["trip"].rename("start")
    rows = rows.join(start, on=POINT)
    return rows.assign(**{model: rows[model] - rows["start"] for model in MODELS})


def figure_6(distances: pd.DataFrame, losses: pd.DataFrame) -> Figure:
    """Draw the five distances along the trips, and training and validation losses of midpoint, λ/2 trip and λ trip.

    Of the tables that `verdicts.divergence.distances_along` and `along_trips` make.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(style.WIDE, 4.8))
    for column, (label, colour, line) in LINES.items():
        _curve(left, distances, column, colour, label, line)
    left.set(xlabel="steps after the\nbranch point", ylabel="L2 distance", ylim=(0, None), title="distances of weights")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize="small")
    for axes, split in ((middle, "train"), (right, "validation")):
        for model, (label, colour) in MODELS.items():
            _curve(axes, changes(losses, split), model, colour, label)
        axes.axhline(0.0, color="black", lw=0.8, ls=":")
        axes.set(xlabel="steps after the\nbranch point", title=f"{style.SPLIT_TITLES[split]} loss")
    middle.set(ylabel="change since the branch point (nats)")
    middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize="small")
    return figure


def figure_8(along: pd.DataFrame) -> Figure:
    """Draw the distance of θ_t to the end of an independent trip: mean over seeds, a line for each branch point.

    The trip left the run at the branch point and ended with the run.
    """
    figure, axes = plt.subplots(figsize=(7.4, 4.2))
    branches = sorted(along["branch"].unique())
    for branch, colour in zip(branches, style.sequence(len(branches)), strict=True):
        curve = along[along["branch"] == branch].groupby("step")["distance"].agg(["mean", "min", "max"])
        axes.plot(curve.index, curve["mean"], color=colour, lw=1.6, label=f"left the run at step {branch} (dot)")
        axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.15, lw=0)
        axes.plot(branch, np.interp(branch, curve.index, curve["mean"]), "o", color=colour, ms=7, mec="white")
    axes.axvline(along["step"].max(), color="black", lw=1, ls=":", label="end of the run and of the trips")
    axes.set(xlabel="step t of the main trajectory", ylabel="L2 distance of θ$_t$ to the end\nof an independent trip")
    axes.set(ylim=(0, None))
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name; late branch points alone."""
    points = config.branch.points
    distances = late(distances_along(tables["trip_distances"], tables["distances"]), points)
    return {
        "figure_6": figure_6(distances, along_trips(late(tables["side_trips"], points))),
        "figure_8": figure_8(tables["to_independent_end"]),
    }
