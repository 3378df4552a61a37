"""Fig. 2: loss along one gradient step, on its own batch and on held-out batches, wide and zoomed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sidetrip.figures import style


def figure_2(single_step: pd.DataFrame, seed: int, branch: int, batch_size: int) -> Figure:
    """Draw one branch point: mean, standard deviation and extremes over the held-out batches."""
    here = single_step.query("seed == @seed and branch == @branch and batch_size == @batch_size")
    figure, (wide, zoom) = plt.subplots(1, 2, figsize=(8.4, 3.5))
    top = 0.0
    for axes, label in ((wide, "wide"), (zoom, "zoom")):
        rows = here[here["range"] == label]
        own = rows[rows["batch"] == "own"]
        held_out = rows[rows["batch"] == "held_out"].groupby("step_size")["loss"].agg(["mean", "std", "min", "max"])
        axes.plot(own["step_size"], own["loss"], color=style.OWN, lw=2)
        axes.plot(held_out.index, held_out["mean"], color=style.HELD_OUT, lw=2)
        low, high = held_out["mean"] - held_out["std"], held_out["mean"] + held_out["std"]
        axes.fill_between(held_out.index, low, high, color=style.HELD_OUT, alpha=0.3, lw=0)
        axes.fill_between(held_out.index, held_out["min"], held_out["max"], color=style.HELD_OUT, alpha=0.13, lw=0)
        axes.set(xlabel="step size λ", xlim=(0, own["step_size"].max()))
        _label(axes, own, held_out)
        top = own["loss"].iloc[0]
    first = here[(here["range"] == "zoom")]["loss"]
    wide.set(ylabel="loss (nats)", title=f"step {branch} of seed {seed}, batch {batch_size}", ylim=(0, 3.2 * top))
    zoom.set(title="the small rectangle, enlarged")
    span = here.loc[here["range"] == "zoom", "step_size"].max()
    wide.add_patch(Rectangle((0, first.min()), span, first.max() - first.min(), fill=False, ec="black", lw=0.8))
    return figure


def _label(axes: Axes, own: pd.DataFrame, held_out: pd.DataFrame) -> None:
    """Name the two curves beside them, three quarters along."""
    x = held_out.index[len(held_out) * 3 // 4]
    y = own.loc[own["step_size"] == x, "loss"].iloc[0]
    axes.annotate(
        "batch of the step", (x, y), (0, -5), textcoords="offset points", color=style.OWN, ha="center", va="top"
    )
    limit = held_out["mean"].iloc[0] * 3
    near = (
        held_out.index[(held_out["mean"] < limit).to_numpy().nonzero()[0].max()] if label_fits(held_out, limit) else x
    )
    axes.annotate(
        "held-out batches",
        (min(near, x), held_out["mean"].loc[min(near, x)]),
        (6, 12),
        textcoords="offset points",
        color=style.HELD_OUT,
        ha="left",
        va="bottom",
    )


def label_fits(held_out: pd.DataFrame, limit: float) -> bool:
    """Whether any of the held-out curve lies below `limit`."""
    return bool((held_out["mean"] < limit).any())
