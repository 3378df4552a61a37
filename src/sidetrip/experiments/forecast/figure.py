"""What a decay of the rate would give: the run as it is, beneath it the forecast, and real cool-downs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.kernels import DECAYS
from sidetrip.report import style
from sidetrip.verdicts.wording import decay_title

DRAWN = "linear"  # decay of the line; the others are near to it


def _panel(axes: Axes, line: pd.DataFrame, downs: pd.DataFrame) -> None:
    """The momentary loss, merged model and forecast of one window, and where cool-downs of the same seed ended."""
    look: dict[str, Any] = {"color": style.MOMENTARY, "lw": 1.6}
    axes.plot(line["step"], line["momentary"], label="the run as it is (momentary)", **look)
    look = {"color": style.AVERAGE, "lw": 1.2, "ls": ":"}
    axes.plot(line["step"], line["merged"], label=f"snapshots merged for a {DRAWN} decay", **look)
    known = line.dropna(subset=["forecast"])
    axes.plot(known["step"], known["forecast"], color=style.AVERAGE, lw=1.8, label=f"forecast, {DRAWN} decay")
    axes.fill_between(known["step"], known["low"], known["high"], color=style.AVERAGE, alpha=0.18, lw=0)
    for decay in DECAYS:
        here = downs[downs["decay"] == decay]
        ends = here["branch"] + here["window_steps"]
        label = f"real cool-down, {decay_title(decay)}"
        look = {"ls": "", "marker": "o", "ms": 6, "mfc": style.decay_colour(decay), "mec": "white", "mew": 0.6}
        axes.plot(ends, here["loss"], label=label, **look)


def forecast(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation loss along the first seed's run, a panel for each window."""
    line = tables["forecast_line"].query("metric == 'loss' and decay == @DRAWN")
    downs = tables["cool_downs"].query("model == 'cool-down'")
    downs = downs[downs["seed"].isin(line["seed"].unique())]
    windows = sorted(line["window_steps"].unique())
    width = style.grid(len(windows)) if len(windows) > 1 else 6.8
    figure, panels = plt.subplots(1, len(windows), figsize=(width, 4.2), sharey=True, squeeze=False)
    for axes, window in zip(panels[0], windows, strict=True):
        _panel(axes, line[line["window_steps"] == window], downs[downs["window_steps"] == window])
        axes.set(title=f"decay over {window} steps", xlabel="step at which the decay ends")
    panels[0][0].set(ylabel="validation loss (nats)")
    style.legend_below(figure, panels[0][0], columns=3 if len(windows) > 1 else 2)
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name."""
    return {"forecast": forecast(tables)}
