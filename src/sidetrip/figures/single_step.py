"""Fig. 2, 12, 13: loss along one step, on its own batch and on held-out batches."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sidetrip.config import Config
from sidetrip.figures import style
from sidetrip.verdicts.single_step import paper_setting

VARIATIONS = {
    ("gradient", "batch"): "plain gradient,\nBatchNorm as in training",
    ("gradient", "frozen"): "plain gradient,\nBatchNorm frozen",
    ("momentum", "batch"): "momentum direction,\nBatchNorm as in training",
}
TITLES = {"own": "batch of the step", "held_out": "held-out batches"}
COLOURS = {"own": style.OWN, "held_out": style.HELD_OUT}


def curves(rows: pd.DataFrame, kind: str, relative: bool = False) -> pd.DataFrame:
    """Mean, standard deviation and extremes over the batches of a kind, indexed by step size.

    `relative` takes each batch's loss at step size 0 away. Only step sizes at which all batches were measured.
    """
    chosen = rows[(rows["batch"] == kind) & rows["range"].isin(["wide", "zoom"])]
    wide = chosen.pivot_table("loss", index="step_size", columns=["own_batch", "index"])
    values = wide - wide.loc[0.0] if relative else wide
    return pd.DataFrame(
        {
            "mean": values.mean(axis=1),
            "std": values.std(axis=1).fillna(0.0),
            "min": values.min(axis=1),
            "max": values.max(axis=1),
        }
    )


def _draw(axes: Axes, rows: pd.DataFrame, widest: float, relative: bool = False) -> dict[str, pd.DataFrame]:
    """Draw both kinds of batches up to a step size: mean, standard deviation (dark), extremes (light)."""
    found = {}
    for kind, colour in COLOURS.items():
        curve = curves(rows, kind, relative)
        curve = curve[curve.index <= widest]
        axes.plot(curve.index, curve["mean"], color=colour, lw=2, label=TITLES[kind])
        low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
        axes.fill_between(curve.index, low, high, color=colour, alpha=0.28, lw=0)
        axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.12, lw=0)
        found[kind] = curve
    axes.set(xlabel="step size λ", xlim=(0, widest))
    return found


def _draw_parabola(axes: Axes, expansion: pd.DataFrame, widest: float) -> None:
    """Draw the mean of the parabolas from slope and curvature at 0 of the own batches."""
    at, x = expansion[["loss", "slope", "curvature"]].mean(), np.linspace(0, widest, 200)
    y = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    axes.plot(x, y, color="black", lw=1.2, ls=(0, (2, 2)), label="parabola from slope and curvature at 0")


def figure_2(
    single_step: pd.DataFrame, curvature: pd.DataFrame, seed: int, branch: int, batch_size: int, zoom: float
) -> Figure:
    """Draw one branch point: losses over the wide range, and their change from step size 0 over small steps."""
    here = "seed == @seed and branch == @branch and batch_size == @batch_size"
    rows, expansion = paper_setting(single_step).query(here), paper_setting(curvature).query(here)
    figure, (wide, near) = plt.subplots(1, 2, figsize=(style.WIDE, 4.2))
    found = _draw(wide, rows, rows["step_size"].max())
    _draw_parabola(wide, expansion, rows["step_size"].max())
    own = found["own"]["mean"]
    wide.set(
        ylabel="loss (nats)", title=f"step {branch} of seed {seed}, batch {batch_size}", ylim=(0, 3.2 * own.iloc[0])
    )
    change = _draw(near, rows, zoom, relative=True)
    top = max(0.02, 1.3 * change["held_out"]["max"].max())
    near.axhline(0.0, color="black", lw=0.8)
    near.set(
        ylabel="change of the loss since λ = 0 (nats)",
        title="small steps",
        ylim=(1.1 * change["own"]["mean"].min(), top),
    )
    style.legend_below(figure, wide)
    return figure


def figure_2_variations(
    single_step: pd.DataFrame, curvature: pd.DataFrame, seed: int, branch: int, batch_size: int
) -> Figure:
    """Draw one own batch in the paper's setting, with frozen BatchNorm statistics, and along the momentum direction."""
    here = "seed == @seed and branch == @branch and batch_size == @batch_size and own_batch == 0"
    rows, expansions = single_step.query(here), curvature.query(here)
    figure, panels = plt.subplots(1, 3, figsize=(10.2, 4.0), sharey=True)
    top = rows.loc[(rows["batch"] == "own") & (rows["step_size"] == 0), "loss"].max()
    for axes, (setting, title) in zip(panels, VARIATIONS.items(), strict=True):
        chosen, expansion = (
            table[(table["direction"] == setting[0]) & (table["batchnorm"] == setting[1])]
            for table in (rows, expansions)
        )
        own = curves(chosen, "own")["mean"]
        sizes = own.index.to_numpy(float)
        lowest_at, positive = sizes[int(own.argmin())], sizes[sizes > 0]
        # Wide enough for the best step; on the momentum direction it is far smaller.
        widest = positive[min(np.searchsorted(positive, 2.5 * lowest_at), len(positive) - 1)]
        _draw(axes, chosen, widest)
        _draw_parabola(axes, expansion, widest)
        axes.set_title(title)
    panels[0].set(ylabel="loss (nats)", ylim=(0, 2.2 * top))
    style.legend_below(figure, panels[0])
    return figure


def figure_12(single_step: pd.DataFrame, seed: int) -> Figure:
    """Draw Fig. 2's wide range for every branch point (rows) and batch size (columns) of one seed."""
    table = paper_setting(single_step).query("seed == @seed")
    branches, sizes = sorted(table["branch"].unique()), sorted(table["batch_size"].unique())
    figure, panels = plt.subplots(
        len(branches),
        len(sizes),
        figsize=(1.2 + 2.9 * len(sizes), 0.9 + 1.9 * len(branches)),
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for i, branch in enumerate(branches):
        for j, size in enumerate(sizes):
            axes, rows = panels[i][j], table.query("branch == @branch and batch_size == @size")
            found = _draw(axes, rows, rows["step_size"].max())
            if j == 0:
                axes.set(ylim=(0, 3 * found["held_out"]["mean"].iloc[0]), ylabel=f"step {branch}\nloss (nats)")
            axes.set(xlabel="step size λ" if i == len(branches) - 1 else "", title=f"batch {size}" if i == 0 else "")
    style.legend_below(figure, panels[0][0])
    return figure


def figure_13(best: pd.DataFrame) -> Figure:
    """Draw the largest relative drop of the loss in one step by batch size, a line for each branch point.

    Means over seeds and own batches, with one standard deviation; a drop of 0 has no place on a log axis.
    """
    table = paper_setting(best)
    table = table[table["relative_drop"] > 0]
    branches = sorted(table["branch"].unique())
    figure, axes = plt.subplots(figsize=(7.4, 4.4))
    for kind, palette in (("own", "Purples"), ("held_out", "Greens")):
        for i, (colour, branch) in enumerate(zip(style.sequence(len(branches), palette), branches, strict=True)):
            rows = table[(table["batch"] == kind) & (table["branch"] == branch)]
            found = rows.groupby("batch_size")["relative_drop"].agg(["mean", "std"]).fillna(0.0)
            x = found.index * 1.04 ** (i - (len(branches) - 1) / 2)  # side by side, or the bars hide each other
            below = np.minimum(found["std"], 0.9 * found["mean"])
            axes.errorbar(
                x,
                found["mean"],
                (below, found["std"]),
                fmt="o-",
                color=colour,
                ms=5,
                lw=1.4,
                capsize=3,
                label=f"{TITLES[kind]}, step {branch}",
            )
    sizes = sorted(table["batch_size"].unique())
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="largest relative drop in one step")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(map(str, sizes))
    low, high = axes.get_ylim()
    marks = [m for m in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low <= m <= high]
    if marks:  # drops of less than a thousandth keep the plain scale
        axes.yaxis.set_major_locator(FixedLocator(marks))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda drop, _: f"{100 * drop:g} %")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    sweep, curvature = tables["single_step"], tables["curvature"]
    seed, branch, size = config.seeds[0], config.branch.points[-1], config.burn_in.batch_size
    return {
        "figure_2": figure_2(sweep, curvature, seed, branch, size, config.single_step.zoom),
        "figure_2_variations": figure_2_variations(sweep, curvature, seed, branch, size),
        "figure_12": figure_12(sweep, seed),
        "figure_13": figure_13(tables["best_steps"]),
    }
