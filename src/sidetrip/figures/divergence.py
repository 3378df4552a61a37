"""Fig. 6 and 8: distances in weight space along side trips."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.figures import style
from sidetrip.verdicts.divergence import along_trips, distances_along

INDEPENDENT = "#b8860b"
LINES = {  # column: (label, colour, line style)
    "trip_to_independent": ("trips on two batch sequences", INDEPENDENT, "-"),
    "trip_to_start": ("λ trip – start", style.MOMENTARY, "-"),
    "half_rate_to_start": ("λ/2 trip – start", style.TRIP, "-"),
    "midpoint_to_half_rate": ("midpoint – λ/2 trip", style.AVERAGE, "--"),
    "midpoint_to_start": ("midpoint – start", style.AVERAGE, "-"),
}
MODELS = {
    "trip": ("λ trip", style.MOMENTARY),
    "midpoint": ("midpoint", style.AVERAGE),
    "half_rate": ("λ/2 trip", style.TRIP),
}


def _curve(axes: Axes, table: pd.DataFrame, x: str, y: str, colour: str, line: str = "-") -> pd.Series:
    """Mean over the pairs with their extremes as a band; returns the mean."""
    found = table.groupby(x)[y].agg(["mean", "min", "max"])
    axes.plot(found.index, found["mean"], color=colour, ls=line, lw=1.8)
    axes.fill_between(found.index, found["min"], found["max"], color=colour, alpha=0.13, lw=0)
    return found["mean"]


def figure_6(distances: pd.DataFrame, losses: pd.DataFrame) -> Figure:
    """Draw the five distances along the trips, and the losses of midpoint and λ/2 trip; means over the pairs.

    Of the tables that `claims.divergence.distances_along` and `along_trips` make.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.2, 4.0))
    ends = {}
    for column, (label, colour, line) in LINES.items():
        ends[label] = (_curve(left, distances, "trip_step", column, colour, line).iloc[-1], colour)
    style.label_ends(left, ends)
    left.set(xlabel="steps after the branch point", ylabel="L2 distance of the weights", ylim=(0, None))
    # Against the branch point's own loss: the levels of early and late branch points differ by more than any gain.
    pair, rows, ends = ["seed", "branch"], losses[losses["split"] == "validation"], {}
    start = rows[rows["trip_step"] == 0].set_index(pair)["trip"].rename("start")
    rows = rows.join(start, on=pair)
    rows = rows.assign(**{model: rows[model] - rows["start"] for model in MODELS})
    for model, (label, colour) in MODELS.items():
        ends[label] = (_curve(right, rows, "trip_step", model, colour).iloc[-1], colour)
    style.label_ends(right, ends)
    right.set(xlabel="steps after the branch point", ylabel="validation loss, change (nats)")
    right.axhline(0.0, color="black", lw=0.8, ls=":")
    return figure


def figure_8(along: pd.DataFrame) -> Figure:
    """Draw the distance of θ_t to the end of an independent trip, one line a pair, coloured by branch point."""
    figure, axes = plt.subplots(figsize=(6.6, 4.0))
    branches = sorted(along["branch"].unique())
    colours = dict(zip(branches, style.sequence(len(branches)), strict=True))
    for (seed, branch), curve in along.groupby(["seed", "branch"]):
        curve, first = curve.sort_values("step"), seed == along["seed"].min()
        label = f"branch point {branch}" if first else None
        axes.plot(curve["step"], curve["distance"], color=colours[branch], lw=1.4, label=label)
        here = curve[curve["step"] <= branch].iloc[-1]
        axes.plot(here["step"], here["distance"], "o", color=colours[branch], ms=6, mec="white")
    axes.set(xlabel="step t of the main trajectory", ylabel="L2 distance of θ$_t$ to the end\nof an independent trip")
    axes.set(ylim=(0, None))
    axes.legend()
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    distances = distances_along(tables["trip_distances"], tables["distances"])
    return {
        "figure_6": figure_6(distances, along_trips(tables["side_trips"])),
        "figure_8": figure_8(tables["to_independent_end"]),
    }
