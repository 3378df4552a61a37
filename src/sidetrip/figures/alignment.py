"""Fig. 7: gradients of a fixed batch along a constant and a linearly decaying trip."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.figures import style

TRIPS = {"constant": ("constant rate", style.MOMENTARY), "linear": ("rate falls linearly to 0", style.TRIP)}


def _line(axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str, line: str = "-") -> None:
    """Mean over seeds and branch points by step, with one standard deviation as a band."""
    found = table.groupby("trip_step")[column].agg(["mean", "std"])
    axes.plot(found.index, found["mean"], color=colour, lw=1.6, ls=line, label=label)
    low, high = found["mean"] - found["std"], found["mean"] + found["std"]
    axes.fill_between(found.index, low, high, color=colour, alpha=0.15, lw=0)


def figure_7(along: pd.DataFrame, between: pd.DataFrame, least_cosine: float) -> Figure:
    """Draw cosines, norms and losses of a fixed batch's gradient along both trips, and cosines between the trips."""
    figure, ((cosines, others), (norms, losses)) = plt.subplots(2, 2, figsize=(style.WIDE, 6.4), sharex=True)
    for trip, (title, colour) in TRIPS.items():
        rows = along[along["trip"] == trip]
        _line(cosines, rows, "fixed_cosine", colour, f"with the first, {title}")
        _line(others, rows, "different_batches_cosine", colour, f"fixed and training batch, {title}")
        _line(norms, rows, "fixed_norm", colour, f"fixed batch, {title}")
        _line(losses, rows, "fixed_loss", colour, f"fixed batch, {title}")
        _line(losses, rows, "training_loss", colour, f"training batches, {title}", ":")
    _line(cosines, between, "fixed_cosine", style.AVERAGE, "between the trips, equal step")
    cosines.axhline(least_cosine, color="black", lw=0.8, ls="--")
    cosines.set(ylabel="cosine", ylim=(min(0.0, cosines.get_ylim()[0]), 1.03), title="gradients of one fixed batch")
    others.axhline(0.0, color="black", lw=0.8, ls="--")
    others.set(ylabel="cosine", ylim=(-1, 1), title="gradients of different batches, same weights")
    norms.set(ylabel="gradient norm", ylim=(0, None), xlabel="steps after the branch point")
    losses.set(ylabel="loss (nats)", ylim=(0, None), xlabel="steps after the branch point")
    for axes in (cosines, others, norms, losses):
        axes.legend(fontsize="x-small", loc="lower left" if axes is cosines else "best")
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    least = config.claims.fixed_gradient_cosine
    return {"figure_7": figure_7(tables["alignment"], tables["between_trips"], least)}
