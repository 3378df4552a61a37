"""Fig. 7: gradients of a fixed batch along a constant and a linearly decaying trip."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.figures import style

TRIPS = {"constant": ("constant rate", style.MOMENTARY), "linear": ("linear decay", style.TRIP)}


def _band(axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str) -> None:
    """Mean over the pairs, extremes as a band."""
    found = table.groupby("trip_step")[column].agg(["mean", "min", "max"])
    axes.plot(found.index, found["mean"], color=colour, lw=1.5, label=label)
    axes.fill_between(found.index, found["min"], found["max"], color=colour, alpha=0.13, lw=0)


def figure_7(along: pd.DataFrame, between: pd.DataFrame) -> Figure:
    """Draw cosines, norms and losses; lines are means over the pairs, bands their extremes."""
    figure, panels = plt.subplots(2, 3, figsize=(10.4, 5.6), sharex=True)
    for trip, (label, colour) in TRIPS.items():
        rows = along[along["trip"] == trip]
        for axes, column in (
            (panels[0][0], "fixed_cosine"),
            (panels[0][2], "different_batches_cosine"),
            (panels[1][0], "fixed_norm"),
            (panels[1][1], "training_norm"),
            (panels[1][2], "fixed_loss"),
        ):
            _band(axes, rows, column, colour, label)
        training = rows.groupby("trip_step")["training_loss"].mean()
        panels[1][2].plot(training.index, training, color=colour, lw=1, ls=(0, (2, 2)))
    _band(panels[0][1], between, "fixed_cosine", style.OWN, "fixed batch")
    _band(panels[0][1], between, "training_cosine", style.HELD_OUT, "training batch")
    panels[0][0].axhline(0.5, color="black", lw=0.8, ls=":")
    panels[0][2].axhline(0.0, color="black", lw=0.8, ls=":")
    panels[0][0].set(title="fixed batch, with its first gradient", ylabel="cosine", ylim=(-0.25, 1.05))
    panels[0][1].set(title="between the two trips", ylim=(-0.25, 1.05))
    panels[0][2].set(title="fixed with training batch", ylim=(-0.75, 1.05))
    panels[1][0].set(title="gradient norm, fixed batch", ylim=(0, None))
    panels[1][1].set(title="gradient norm, training batch", ylim=(0, None))
    panels[1][2].set(title="loss (nats); training batch dotted", ylim=(0, None))
    for axes in panels[1]:
        axes.set_xlabel("steps after the branch point")
    panels[0][1].legend(loc="lower left")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {"figure_7": figure_7(tables["alignment"], tables["between_trips"])}
