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
    """Name the two curves at their middle, the own one below it, the held-out one above."""
    own_losses = own.set_index("step_size")["loss"]
    middle = own_losses.index[len(own_losses) // 2]
    for losses, text, colour, side in (
        (own_losses, "batch of the step", style.OWN, -1),
        (held_out["mean"], "held-out batches", style.HELD_OUT, 1),
    ):
        axes.annotate(
            text,
            (float(middle), float(losses.loc[middle])),
            (0, 7 * side),
            textcoords="offset points",
            color=colour,
            ha="center",
            va="bottom" if side > 0 else "top",
        )
