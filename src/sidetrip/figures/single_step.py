"""Fig. 2, 12, 13: loss along one step, on its own batch and on held-out batches."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from sidetrip.config import Config
from sidetrip.figures import style

VARIATIONS = {
    ("gradient", "batch"): "plain gradient, BatchNorm as in training",
    ("gradient", "frozen"): "plain gradient, BatchNorm frozen",
    ("momentum", "batch"): "momentum direction, BatchNorm as in training",
}


def _setting(table: pd.DataFrame, direction: str = "gradient", batchnorm: str = "batch") -> pd.DataFrame:
    """Rows of one setting; the paper's by default."""
    return table[(table["direction"] == direction) & (table["batchnorm"] == batchnorm)]


def _draw(axes: Axes, rows: pd.DataFrame, widest: float) -> tuple[pd.Series, pd.DataFrame]:
    """Draw both curves with the held-out bands up to a step size, and return them."""
    rows = rows[rows["step_size"] <= widest]
    own = rows[rows["batch"] == "own"].set_index("step_size")["loss"].sort_index()
    held_out = rows[rows["batch"] == "held_out"].groupby("step_size")["loss"].agg(["mean", "std", "min", "max"])
    axes.plot(own.index, own, color=style.OWN, lw=2)
    axes.plot(held_out.index, held_out["mean"], color=style.HELD_OUT, lw=2)
    low, high = held_out["mean"] - held_out["std"], held_out["mean"] + held_out["std"]
    axes.fill_between(held_out.index, low, high, color=style.HELD_OUT, alpha=0.3, lw=0)
    axes.fill_between(held_out.index, held_out["min"], held_out["max"], color=style.HELD_OUT, alpha=0.13, lw=0)
    axes.set(xlabel="step size λ", xlim=(0, widest))
    return own, held_out


def _draw_parabola(axes: Axes, expansion: pd.DataFrame, widest: float) -> None:
    """Draw the parabola from slope and curvature at 0 on the own-batch curve."""
    at, x = expansion.iloc[0], np.linspace(0, widest, 200)
    y = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    axes.plot(x, y, color="black", lw=1.2, ls=(0, (2, 2)))


def figure_2(
    single_step: pd.DataFrame, curvature: pd.DataFrame, seed: int, branch: int, batch_size: int, zoom: float
) -> Figure:
    """Draw one branch point: mean, standard deviation and extremes over the held-out batches; wide and zoomed."""
    here = "seed == @seed and branch == @branch and batch_size == @batch_size"
    rows, expansion = _setting(single_step).query(here), _setting(curvature).query(here)
    figure, (wide, near) = plt.subplots(1, 2, figsize=(8.4, 3.6))
    for axes, widest in ((wide, rows["step_size"].max()), (near, zoom)):
        own, held_out = _draw(axes, rows, widest)
        _draw_parabola(axes, expansion, widest)
        _label(axes, own, held_out)
    top = rows.loc[(rows["batch"] == "own") & (rows["step_size"] == 0), "loss"].iloc[0]
    close = rows.loc[rows["step_size"] <= zoom, "loss"]
    wide.set(ylabel="loss (nats)", title=f"step {branch} of seed {seed}, batch {batch_size}", ylim=(0, 3.2 * top))
    margin = 0.06 * (close.max() - close.min())
    near.set(title="the small rectangle, enlarged", ylim=(close.min() - margin, close.max() + margin))
    wide.add_patch(Rectangle((0, close.min()), zoom, close.max() - close.min(), fill=False, ec="black", lw=0.8))
    return figure


def _label(axes: Axes, own: pd.Series, held_out: pd.DataFrame) -> None:
    """Name the two curves at their middle, the own one below it, the held-out one above."""
    middle = own.index[np.searchsorted(own.index, 0.5 * own.index[-1])]
    for losses, text, colour, side in (
        (own, "batch of the step", style.OWN, -1),
        (held_out["mean"], "held-out batches", style.HELD_OUT, 1),
    ):
        axes.annotate(
            text,
            (float(middle), float(losses.loc[middle])),
            (0, 9 * side),
            textcoords="offset points",
            color=colour,
            ha="center",
            va="bottom" if side > 0 else "top",
        )


def figure_2_variations(
    single_step: pd.DataFrame, curvature: pd.DataFrame, seed: int, branch: int, batch_size: int
) -> Figure:
    """Draw the paper's setting beside frozen BatchNorm statistics and the momentum direction, with their parabolas."""
    here = "seed == @seed and branch == @branch and batch_size == @batch_size"
    rows, expansions = single_step.query(here), curvature.query(here)
    figure, panels = plt.subplots(1, 3, figsize=(10.2, 3.5), sharey=True)
    top = rows.loc[(rows["batch"] == "own") & (rows["step_size"] == 0), "loss"].max()
    for axes, ((direction, batchnorm), title) in zip(panels, VARIATIONS.items(), strict=True):
        curves = _setting(rows, direction, batchnorm)
        lows = curves[curves["batch"] == "own"].set_index("step_size")["loss"]
        positive = lows.index[lows.index > 0]
        # Wide enough for the best step; on the momentum direction it is far smaller.
        widest = positive[min(np.searchsorted(positive, 2.5 * max(lows.idxmin(), positive[0])), len(positive) - 1)]
        _draw(axes, curves, widest)
        _draw_parabola(axes, _setting(expansions, direction, batchnorm), widest)
        axes.set_title(title.replace(", ", ",\n"))
    panels[0].set(ylabel="loss (nats)", ylim=(0, 2.2 * top))
    return figure


def figure_12(single_step: pd.DataFrame, seed: int) -> Figure:
    """Draw Fig. 2's wide range for every branch point (rows) and batch size (columns) of one seed."""
    table = _setting(single_step).query("seed == @seed")
    branches, sizes = sorted(table["branch"].unique()), sorted(table["batch_size"].unique())
    figure, panels = plt.subplots(
        len(branches),
        len(sizes),
        figsize=(1.2 + 3.0 * len(sizes), 0.8 + 1.9 * len(branches)),
        squeeze=False,
        sharex=True,
    )
    for i, branch in enumerate(branches):
        for j, size in enumerate(sizes):
            axes, rows = panels[i][j], table.query("branch == @branch and batch_size == @size")
            own, _ = _draw(axes, rows, rows["step_size"].max())
            axes.set(ylim=(0, 3 * own.iloc[0]), xlabel="step size λ" if i == len(branches) - 1 else "")
            if i == 0:
                axes.set_title(f"batch {size}")
            if j == 0:
                axes.set_ylabel(f"step {branch}\nloss (nats)")
    handles = [plt.Line2D([], [], color=c, lw=2) for c in (style.OWN, style.HELD_OUT)]
    figure.legend(handles, ["batch of the step", "held-out batches"], loc="outside lower center", ncols=2)
    return figure


def figure_13(best: pd.DataFrame) -> Figure:
    """Draw the largest relative loss drop of one step by batch size, one line a branch point, means over seeds."""
    table = _setting(best)
    table = table[table["relative_drop"] > 0]  # a log axis has no place for a step that never helps
    branches = sorted(table["branch"].unique())
    figure, axes = plt.subplots(figsize=(6.6, 4.0))
    for kind, palette in (("own", "Purples"), ("held_out", "Greens")):
        for colour, branch in zip(style.sequence(len(branches), palette), branches, strict=True):
            rows = table[(table["batch"] == kind) & (table["branch"] == branch)]
            means = rows.groupby("batch_size")["relative_drop"].mean()
            axes.plot(means.index, means, "o-", color=colour, ms=5, lw=1.4, label=f"step {branch}")
    sizes = sorted(table["batch_size"].unique())
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="largest relative drop of the loss in one step")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(map(str, sizes))
    low, high = axes.get_ylim()
    marks = [m for m in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low <= m <= high]
    if marks:  # drops of less than a thousandth keep the plain scale
        axes.yaxis.set_major_locator(FixedLocator(marks))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda drop, _: f"{100 * drop:g} %")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right center", title="batch of the step,\nthen held-out", alignment="left"
    )
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    sweep, curvature, settings = tables["single_step"], tables["curvature"], config.single_step
    seed, branch, size = config.seeds[0], config.branch.points[-1], min(settings.batch_sizes)
    return {
        "figure_2": figure_2(sweep, curvature, seed, branch, size, settings.zoom),
        "figure_2_variations": figure_2_variations(sweep, curvature, seed, branch, size),
        "figure_12": figure_12(sweep, seed),
        "figure_13": figure_13(tables["best_steps"]),
    }
