"""Forecasts of a decay against the real cool-downs and against their rivals; and estimates in hindsight."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.kernels import DECAYS
from sidetrip.report import style
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.wording import decay_title

DRAWN = "linear"  # decay of the lines; the others are near to it
TITLES = {
    "momentary": "loss of the run now",
    "merged": "merged snapshots now",
    "power_law": "multi-power law",
    "none": "merged + drift",
    "predicted": "merged + drift\n+ predicted correction",
    "learned": "merged + drift\n+ learned correction",
}


def _future(axes: Axes, momentary: pd.DataFrame, given: pd.DataFrame, window: int) -> None:
    """One run, its forecasts over a window from where each was made to where the decay ends, and what came true."""
    here = given[given["window_steps"] == window]
    near = momentary[momentary["step"] >= here["branch"].min() - window] if len(here) else momentary
    axes.plot(near["step"], near["loss"], color=style.MOMENTARY, lw=1.4, label="the run at its rate")
    ends = here["branch"] + window
    reach = np.abs([here["forecast"] - here["low"], here["high"] - here["forecast"]])
    look: dict[str, Any] = {"color": style.AVERAGE, "fmt": "o", "ms": 6, "mfc": "white", "capsize": 3, "lw": 1.3}
    axes.errorbar(ends, here["forecast"], reach, label="forecast, 90 % interval", **look)
    for begin, end, value in zip(here["branch"], ends, here["forecast"], strict=True):
        now = np.interp(begin, momentary["step"], momentary["loss"])
        axes.plot([begin, end], [now, value], color=style.AVERAGE, lw=0.7, ls=":")
    look = {"ls": "", "marker": "x", "ms": 7, "mew": 2, "color": style.colour_of(DRAWN), "zorder": 5}
    axes.plot(ends, here["cool_down"], label="real cool-down", **look)
    axes.set(title=f"{DRAWN} decay over {window} steps", xlabel="step")


def errors_by_seed(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Root mean square errors of the loss, of each kind of forecast and each rival, by seed, over the same decays.

    Only decays that have every kind count, so that no kind is measured on easier ones.

    Returns
    -------
    DataFrame
        Index seed; a column for each kind that is there.
    """
    keys = ["seed", "branch", "decay", "window_steps"]
    losses = forecasts[forecasts["metric"] == "loss"]
    kinds = losses.pivot_table(index=keys, columns="correction", values="forecast")
    others = losses.drop_duplicates(keys).set_index(keys)
    table = kinds.join(others[["momentary", "merged", "power_law"]]).dropna(axis="columns", how="all").dropna()
    off = table.sub(others["cool_down"].reindex(table.index), axis=0).dropna()
    return (off**2).groupby("seed").mean() ** 0.5


def _bars(axes: Axes, errors: pd.DataFrame) -> None:
    """Mean error of each kind over seeds, the seeds as dots."""
    names = [name for name in TITLES if name in errors]
    for place, name in enumerate(names):
        colour = style.AVERAGE if name in ("none", "learned", "predicted") else style.MOMENTARY
        axes.barh(place, errors[name].mean(), color=colour, alpha=0.35, height=0.65)
        axes.plot(errors[name], np.full(len(errors), place), ls="", marker="o", ms=3.5, color=colour)
        number: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center", "fontsize": 9}
        axes.annotate(f"{errors[name].mean():.3f}", (0.98, place), **number)
    axes.set_yticks(range(len(names)), [TITLES[name] for name in names])
    axes.set(title="errors, all seeds", xlabel="error of the loss (nats)")
    axes.set_xlim(0, 1.35 * float(errors.to_numpy().max()))  # the numbers stand right of all dots
    axes.invert_yaxis()


def forecast(tables: Tables, windows: Sequence[int]) -> Figure:
    """The first seed's forecasts, a panel for each window, and the errors of all seeds."""
    forecasts = tables["forecasts"]
    looks, seed = tables["merged_snapshots"], forecasts["seed"].min()
    momentary = looks[(looks["model"] == "momentary") & (looks["seed"] == seed)]
    given = forecasts[forecasts["given"] & (forecasts["seed"] == seed)].query("metric == 'loss' and decay == @DRAWN")
    widths = [1.0] * len(windows) + [0.9]
    figure, panels = plt.subplots(
        1, len(windows) + 1, figsize=(style.grid(len(windows) + 1), 4.2), squeeze=False, width_ratios=widths
    )
    for axes, window in zip(panels[0], windows, strict=False):
        _future(axes, momentary, given, window)
    panels[0][0].set(ylabel="validation loss (nats)")
    errors = errors_by_seed(forecasts)
    if len(errors):
        _bars(panels[0][-1], errors)
    else:
        panels[0][-1].set_axis_off()
    style.legend_below(figure, panels[0][0], columns=3)
    return figure


def _past(axes: Axes, line: pd.DataFrame, downs: pd.DataFrame) -> None:
    """The momentary loss, merged model and estimate of one window, and where cool-downs of the same seed ended."""
    first = downs["branch"].min() - downs["window_steps"].max()
    line = line[line["step"] >= first] if len(downs) else line  # what lies long before would take all the height
    look: dict[str, Any] = {"color": style.MOMENTARY, "lw": 1.6}
    axes.plot(line["step"], line["momentary"], label="the run as it is (momentary)", **look)
    look = {"color": style.AVERAGE, "lw": 1.2, "ls": ":"}
    axes.plot(line["step"], line["merged"], label=f"snapshots merged for a {DRAWN} decay", **look)
    known = line.dropna(subset=["estimate"])
    axes.plot(known["step"], known["estimate"], color=style.AVERAGE, lw=1.8, label=f"estimate, {DRAWN} decay")
    axes.fill_between(known["step"], known["low"], known["high"], color=style.AVERAGE, alpha=0.3, lw=0)
    for decay in sorted(DECAYS, key=lambda name: name == DRAWN):  # the one of the line on top
        here = downs[downs["decay"] == decay]
        ends = here["branch"] + here["window_steps"]
        size = 7 if decay == DRAWN else 4.5
        look = {"ls": "", "marker": "o", "ms": size, "mfc": style.colour_of(decay), "mec": "white", "mew": 0.6}
        axes.plot(ends, here["loss"], label=f"real cool-down, {decay_title(decay)}", **look)


def hindsight(tables: Tables) -> Figure:
    """Validation loss along the first seed's run, a panel for each window."""
    line = tables["hindsight_line"].query("metric == 'loss' and decay == @DRAWN")
    downs = tables["cool_downs"]
    downs = downs[(downs["model"] == "cool-down") & downs["seed"].isin(line["seed"].unique())]
    windows = sorted(line["window_steps"].unique())
    width = style.grid(len(windows)) if len(windows) > 1 else 6.8
    figure, panels = plt.subplots(1, len(windows), figsize=(width, 4.2), sharey=True, squeeze=False)
    for axes, window in zip(panels[0], windows, strict=True):
        _past(axes, line[line["window_steps"] == window], downs[downs["window_steps"] == window])
        axes.set(title=f"decay over {window} steps", xlabel="step at which the decay ends")
    panels[0][0].set(ylabel="validation loss (nats)")
    style.legend_below(figure, panels[0][0], columns=3 if len(windows) > 1 else 2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {"forecast": forecast(tables, config.forecast.windows), "hindsight": hindsight(tables)}
