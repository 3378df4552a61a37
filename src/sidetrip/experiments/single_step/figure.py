"""Fig. 2, 12, 13: loss along one step, on its own batch and on held-out batches."""

from collections.abc import Hashable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sidetrip.config import Config
from sidetrip.experiments.single_step.plan import VARIED
from sidetrip.experiments.single_step.verdict import has_batchnorm, paper_setting
from sidetrip.report import style
from sidetrip.verdicts.records import Tables

VARIATIONS = {
    ("gradient", "batch"): "plain gradient,\nBatchNorm as in training",
    ("gradient", "frozen"): "plain gradient,\nBatchNorm frozen",
    ("momentum", "batch"): "the optimizer's direction,\nBatchNorm as in training",
}
OWN = ["seed", "own_batch"]
TITLES = {"own": "batch of the step", "held_out": "held-out batches"}
WITHOUT = {("gradient", "batch"): "plain gradient", ("momentum", "batch"): "the optimizer's direction"}  # BatchNorm
LEAST_RISE = 0.02  # of its start, up to which the own batch's loss is drawn even if its largest drop is less
HIGHEST = 2.2  # times its start, up to which variations are drawn
COLOURS = {"own": style.OWN, "held_out": style.HELD_OUT}


def curves(rows: pd.DataFrame, kind: str, relative: bool = False) -> pd.DataFrame:
    """Mean, standard deviation and extremes over the curves of a kind of batch, indexed by step size.

    A curve is one held-out batch, or the batch itself, along one step. Step sizes at which one curve was measured and
    another was not, as near the lowest losses, are filled by straight lines. `relative` takes each curve's loss at step
    size 0 away.
    """
    chosen = rows[rows["batch"] == kind]
    wide = chosen.pivot_table("loss", index="step_size", columns=["seed", "own_batch", "index"])
    wide = wide.interpolate(method="index", limit_area="inside")
    values = wide - wide.loc[0.0] if relative else wide
    return values.agg(["mean", "std", "min", "max"], axis=1)


def reach(rows: pd.DataFrame) -> float:
    """The largest step size at which the own batch's mean loss is no more above its start than its lowest is below."""
    own = curves(rows[rows["range"].isin(["wide", "zoom"])], "own")["mean"]
    start = own.loc[0.0]
    highest = start + max(start - own.min(), LEAST_RISE * start)
    return float(max(own.index[own <= highest].max(), own.index[1]))  # an axis needs a length


def _draw(axes: Axes, rows: pd.DataFrame, widest: float, relative: bool = False) -> dict[str, pd.DataFrame]:
    """Draw both kinds of batches up to a step size: mean, standard deviation (dark), extremes (light)."""
    found = {}
    for kind, colour in COLOURS.items():
        curve = curves(rows, kind, relative)
        curve = curve[curve.index <= widest]
        axes.plot(curve.index, curve["mean"], color=colour, lw=2, label=TITLES[kind])
        low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
        # Of few curves the standard deviation is wider than the extremes, and says no more.
        low, high = low.clip(lower=curve["min"]), high.clip(upper=curve["max"])
        axes.fill_between(curve.index, low, high, color=colour, alpha=0.28, lw=0)
        axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.12, lw=0)
        found[kind] = curve
    axes.set(xlabel="step size λ", xlim=(0, widest))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    return found


def _lowest(found: dict[str, pd.DataFrame]) -> float:
    """Where an axis of losses begins: a little below all curves."""
    return 0.97 * min(float(curve["min"].min()) for curve in found.values())


def _draw_parabola(axes: Axes, expansion: pd.DataFrame, widest: float) -> None:
    """Draw the mean of the parabolas from slope and curvature at 0 of the own batches."""
    at, x = expansion[["loss", "slope", "curvature"]].mean(), np.linspace(0, widest, 200)
    y = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    axes.plot(x, y, color="black", lw=1.2, ls=(0, (2, 2)), label="parabola from slope and curvature at 0")


def figure_2(single_step: pd.DataFrame, curvature: pd.DataFrame, title: str, zoom: float) -> Figure:
    """Draw one branch point: losses over the wide range, and their change from step size 0 over small steps."""
    rows, expansion = paper_setting(single_step), paper_setting(curvature)
    figure, (wide, near) = plt.subplots(1, 2, figsize=(style.WIDE, 4.2))
    widest = reach(rows)
    found = _draw(wide, rows, widest)
    _draw_parabola(wide, expansion, widest)
    wide.set(ylabel="loss (nats)", title=title)
    wide.set(ylim=(_lowest(found), 1.03 * found["held_out"]["max"].max()))
    change = _draw(near, rows, zoom, relative=True)
    _show_dip(near, change["held_out"]["mean"])
    style.legend_below(figure, wide)
    return figure


def _show_dip(axes: Axes, held_out: pd.Series) -> None:
    """Limit an axis of changes to what the held-out mean does around its lowest point; the own batch leaves it."""
    x, y = held_out.index.to_numpy(float), held_out.to_numpy(float)
    lowest = int(y.argmin())
    risen = np.flatnonzero((np.arange(len(x)) > lowest) & (y >= -y[lowest]))
    last = risen[0] if len(risen) else len(x) - 1
    deepest = max(-float(y[lowest]), 1e-3)
    axes.axhline(0.0, color="black", lw=0.8)
    axes.plot(x[lowest], y[lowest], "o", color=COLOURS["held_out"], ms=7, mec="white")
    axes.set(xlim=(0, x[last]), ylim=(-4 * deepest, 4 * deepest), title="small steps")
    axes.annotate("lowest on average", (x[lowest], y[lowest]), (0, -16), textcoords="offset points", ha="center")
    axes.set(ylabel="change of the loss since λ = 0 (nats)")


def relative_curves(rows: pd.DataFrame, expansions: pd.DataFrame) -> pd.DataFrame:
    """Losses relative to that at step size 0, by step size ÷ the one at which the own batch's parabola is lowest.

    Returns
    -------
    DataFrame
        seed, batch (own, held_out), times (step size ÷ the parabola's best), relative_loss: mean over the batches.
    """
    at = expansions.set_index(OWN)
    optima: dict[Hashable, float] = (-at["slope"] / at["curvature"].abs()).to_dict()
    found = []
    for (seed, own_batch, batch, _), curve in rows.groupby([*OWN, "batch", "index"]):
        means = curve.groupby("step_size")["loss"].mean()
        sizes, losses = means.index.to_numpy(float), means.to_numpy(float)
        best = optima[seed, own_batch]
        times = np.array([x for x in VARIED if x * best <= sizes[-1] * (1 + 1e-9)])
        relative = np.interp(times * best, sizes, losses) / means.loc[0.0]
        found.append(pd.DataFrame({"seed": seed, "batch": batch, "times": times, "relative_loss": relative}))
    return pd.concat(found).groupby(["seed", "batch", "times"])["relative_loss"].mean().reset_index()


def figure_2_variations(single_step: pd.DataFrame, curvature: pd.DataFrame, batchnorm: bool) -> Figure:
    """Draw the first own batches of one branch point, a panel for each direction and kind of BatchNorm statistics."""
    rows, expansions = single_step.query("own_batch == 0"), curvature.query("own_batch == 0")
    titles = VARIATIONS if batchnorm else WITHOUT
    figure, panels = plt.subplots(1, len(titles), figsize=(style.WIDE, 3.8), sharey=True)
    for axes, ((direction, statistics), title) in zip(panels, titles.items(), strict=True):
        setting = f"direction == '{direction}' and batchnorm == '{statistics}'"
        chosen, expansion = rows.query(setting), expansions.query(setting)
        relative = relative_curves(chosen, expansion)
        for kind, colour in COLOURS.items():
            style.curve(axes, relative[relative["batch"] == kind], "times", "relative_loss", colour, TITLES[kind])
        axes.axhline(1.0, color="black", lw=0.8, ls=":")
        axes.set(xlabel="step size ÷ that at which the\nown batch's parabola is lowest", xlim=(0, VARIED[-1]))
        axes.set_title(title)
    low, high = panels[0].get_ylim()
    panels[0].set(ylabel="loss ÷ loss before the step", ylim=(low, min(high, HIGHEST)))
    style.legend_below(figure, panels[0])
    return figure


def figure_12(single_step: pd.DataFrame) -> Figure:
    """Draw Fig. 2's wide range for every branch point (rows) and batch size (columns)."""
    table = paper_setting(single_step)
    branches, sizes = sorted(table["branch"].unique()), sorted(table["batch_size"].unique())
    shape: dict[str, Any] = {"figsize": (style.WIDE, 0.9 + 1.9 * len(branches)), "squeeze": False, "sharey": "row"}
    figure, panels = plt.subplots(len(branches), len(sizes), **shape)
    for i, branch in enumerate(branches):
        lowest, highest = [], []
        for axes, size in zip(panels[i], sizes, strict=True):
            rows = table.query("branch == @branch and batch_size == @size")
            found = _draw(axes, rows, reach(rows))
            lowest.append(_lowest(found))
            highest.append(found["held_out"]["mean"].max())
            axes.set(xlabel="step size λ" if i == len(branches) - 1 else "", title=f"batch {size}" if i == 0 else "")
        panels[i][0].set(ylim=(min(lowest), 1.1 * max(highest)), ylabel=f"step {branch}\nloss (nats)")
    style.legend_below(figure, panels[0][0])
    return figure


def figure_13(best: pd.DataFrame) -> Figure:
    """Draw the largest relative drop of the loss in one step by batch size, a line for each branch point.

    Medians and quartiles over seeds and own batches; a drop of 0 has no place on a log axis.
    """
    table = paper_setting(best)
    branches, sizes = sorted(table["branch"].unique()), sorted(table["batch_size"].unique())
    figure, axes = plt.subplots(figsize=(7.4, 4.6))
    smallest = 1.0
    for kind, palette in (("own", "Purples"), ("held_out", "Greens")):
        for i, (colour, branch) in enumerate(zip(style.sequence(len(branches), palette), branches, strict=True)):
            rows = table[(table["batch"] == kind) & (table["branch"] == branch)]
            drop = rows.groupby("batch_size")["relative_drop"].quantile([0.25, 0.5, 0.75]).unstack()  # noqa: PD010
            drop = drop[drop[0.5] > 0]
            x = drop.index * 1.04 ** (i - (len(branches) - 1) / 2)  # side by side, or the bars hide each other
            bars = (drop[0.5] - drop[0.25], drop[0.75] - drop[0.5])
            smallest = min([smallest, *drop[0.5], *drop[0.25][drop[0.25] > 0]])
            look: dict[str, Any] = {"fmt": "o-", "color": colour, "ms": 5, "lw": 1.4, "capsize": 3}
            axes.errorbar(x, drop[0.5], bars, label=f"{TITLES[kind]}, step {branch}", **look)
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="largest relative drop in one step")
    axes.set_xticks(sizes, map(str, sizes))
    axes.set_xticks([], minor=True)
    axes.set(ylim=(smallest / 1.5, None))  # the bar of a quartile of 0 goes to the edge
    low, high = axes.get_ylim()
    marks = [m for m in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low <= m <= high]
    if marks:  # drops of less than a thousandth keep the plain scale
        axes.set_yticks(marks)
        axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda drop, _: f"{100 * drop:g} %")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    best, branch, size = tables["best_steps"], config.branch.points[-1], config.burn_in.batch_size
    here = "branch == @branch and batch_size == @size"
    sweep, curvature = tables["single_step"].query(here), tables["curvature"].query(here)
    title = f"branch point {branch}, batch size {size}"
    return {
        "figure_2": figure_2(sweep, curvature, title, config.single_step.zoom),
        "figure_2_variations": figure_2_variations(sweep, curvature, has_batchnorm(best)),
        "figure_12": figure_12(tables["single_step"]),
        "figure_13": figure_13(best),
    }
