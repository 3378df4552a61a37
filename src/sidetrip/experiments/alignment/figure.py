"""Fig. 7: gradients of a fixed batch along a trip at the rate of the run and one with a linear decay."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Claims, Config
from sidetrip.report import style
from sidetrip.verdicts.records import Tables

TRIPS = {"constant": ("rate of the run", style.MOMENTARY), "linear": ("linear decay", style.TRIP)}
LIMIT: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": "--"}


def figure_7(along: pd.DataFrame, between: pd.DataFrame, claims: Claims) -> Figure:
    """Draw cosines, norms and losses of a fixed batch's gradient along both trips, and cosines between the trips."""
    figure, ((cosines, others), (norms, losses)) = plt.subplots(2, 2, figsize=(style.WIDE, 6.8), sharex=True)
    for trip, (title, colour) in TRIPS.items():
        rows = along[along["trip"] == trip]
        # With itself the first gradient has a cosine of 1.
        style.curve(
            cosines, rows[rows["trip_step"] > 0], "trip_step", "fixed_cosine", colour, f"with the first, {title}"
        )
        style.curve(others, rows, "trip_step", "different_batches_cosine", colour, title)
        style.curve(norms, rows, "trip_step", "fixed_norm", colour, f"fixed, {title}")
        style.curve(norms, rows, "trip_step", "training_norm", colour, f"training, {title}", ":")
        style.curve(losses, rows, "trip_step", "fixed_loss", colour, f"fixed, {title}")
        style.curve(losses, rows, "trip_step", "training_loss", colour, f"training, {title}", ":")
    later = between[between["trip_step"] > 0]
    style.curve(cosines, later, "trip_step", "fixed_cosine", style.AVERAGE, "between the trips")
    cosines.axhline(claims.fixed_gradient_cosine, label="limit", **LIMIT)
    cosines.set(ylabel="cosine", ylim=(min(0.0, cosines.get_ylim()[0]), 1.03), title="gradients of one fixed batch")
    for limit in (-claims.batch_gradients_orthogonal, claims.batch_gradients_orthogonal):
        others.axhline(limit, label="limits", **LIMIT)
    others.set(ylabel="cosine", title="gradients of two batches at the same weights")
    _limits(norms, along, claims.fixed_gradient_norm)
    for axes, ylabel, title in ((norms, "gradient norm", "gradient norms"), (losses, "loss (nats)", "losses")):
        axes.set(xlabel="steps after the branch point", ylabel=ylabel)
        axes.set_title(f"{title} of fixed and training batches")
    for axes, below in ((cosines, -0.1), (others, -0.1), (norms, -0.22), (losses, -0.22)):
        once = style.labelled(axes)
        look: dict[str, Any] = {"fontsize": "small", "loc": "upper center", "bbox_to_anchor": (0.5, below)}
        axes.legend(once.values(), once.keys(), **look, ncols=2, columnspacing=1.0, handlelength=1.6)
        axes.tick_params(labelbottom=True)
    return figure


def _limits(axes: Axes, along: pd.DataFrame, change: float) -> None:
    """Mark, over the second half of the trip, by how much the fixed batch's norm may differ from the first half."""
    last = float(along["trip_step"].max())
    first = float(along.loc[along["trip_step"] <= last / 2, "fixed_norm"].mean())
    for limit in (first * np.exp(-change), first * np.exp(change)):
        axes.plot([last / 2, last], [limit, limit], label="limits, second half", **LIMIT)


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {"figure_7": figure_7(tables["alignment"], tables["between_trips"], config.claims)}
