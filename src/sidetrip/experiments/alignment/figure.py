"""Fig. 7: gradients of a fixed batch along a trip at the rate of the run and one with a linear decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Claims, Config
from sidetrip.report import style

TRIPS = {"constant": ("rate of the run", style.MOMENTARY), "linear": ("linear decay", style.TRIP)}
LIMIT: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": "--"}


def _line(axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str, line: str = "-") -> None:
    """Mean over seeds and branch points by step, with one standard deviation as a band."""
    found = table.groupby("trip_step")[column].agg(["mean", "std"])
    axes.plot(found.index, found["mean"], color=colour, lw=1.6, ls=line, label=label)
    low, high = found["mean"] - found["std"], found["mean"] + found["std"]
    axes.fill_between(found.index, low, high, color=colour, alpha=0.15, lw=0)


def figure_7(along: pd.DataFrame, between: pd.DataFrame, claims: Claims) -> Figure:
    """Draw cosines, norms and losses of a fixed batch's gradient along both trips, and cosines between the trips."""
    figure, ((cosines, others), (norms, losses)) = plt.subplots(2, 2, figsize=(style.WIDE, 6.8), sharex=True)
    for trip, (title, colour) in TRIPS.items():
        rows = along[along["trip"] == trip]
        # With itself the first gradient has a cosine of 1.
        _line(cosines, rows[rows["trip_step"] > 0], "fixed_cosine", colour, f"with the first, {title}")
        _line(others, rows, "different_batches_cosine", colour, title)
        _line(norms, rows, "fixed_norm", colour, f"fixed, {title}")
        _line(norms, rows, "training_norm", colour, f"training, {title}", ":")
        _line(losses, rows, "fixed_loss", colour, f"fixed, {title}")
        _line(losses, rows, "training_loss", colour, f"training, {title}", ":")
    later = between[between["trip_step"] > 0]
    _line(cosines, later, "fixed_cosine", style.AVERAGE, "between the trips")
    cosines.axhline(claims.fixed_gradient_cosine, label="limit", **LIMIT)
    cosines.set(ylabel="cosine", ylim=(min(0.0, cosines.get_ylim()[0]), 1.03), title="gradients of one fixed batch")
    for limit in (-claims.batch_gradients_orthogonal, claims.batch_gradients_orthogonal):
        others.axhline(limit, label="limits", **LIMIT)
    others.set(ylabel="cosine", title="gradients of two batches at the same weights")
    _limits(norms, along, claims.fixed_gradient_norm)
    for axes, ylabel, title in ((norms, "gradient norm", "gradient norms"), (losses, "loss (nats)", "losses")):
        axes.set(xlabel="steps after the branch point", ylabel=ylabel, ylim=(0, None))
        axes.set_title(f"{title} of fixed and training batches")
    for axes, below in ((cosines, -0.1), (others, -0.1), (norms, -0.22), (losses, -0.22)):
        look: dict[str, Any] = {"fontsize": "small", "loc": "upper center", "bbox_to_anchor": (0.5, below)}
        axes.legend(*_once(axes), **look, ncols=2, columnspacing=1.0, handlelength=1.6)
        axes.tick_params(labelbottom=True)
    return figure


def _limits(axes: Axes, along: pd.DataFrame, change: float) -> None:
    """Mark, over the second half of the trip, by how much the fixed batch's norm may differ from the first half."""
    last = float(along["trip_step"].max())
    first = float(along.loc[along["trip_step"] <= last / 2, "fixed_norm"].mean())
    for limit in (first * np.exp(-change), first * np.exp(change)):
        axes.plot([last / 2, last], [limit, limit], label="limits, second half", **LIMIT)


def _once(axes: Axes) -> tuple[list[plt.Artist], list[str]]:
    """Handles and labels, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    return list(unique.values()), list(unique)


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {"figure_7": figure_7(tables["alignment"], tables["between_trips"], config.claims)}
