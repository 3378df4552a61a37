"""Fig. 1 and 5: averages of the main trajectory against side trips with the equivalent schedule."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.figures import style

SCORES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss (nats)", 1.0)}


def draw(
    axes: Axes, running: pd.DataFrame, trips: pd.DataFrame, kernel: str, seed: int, split: str, metric: str
) -> None:
    """Draw one kernel's panel: momentary line, running average, trips from every branch point."""
    scale = SCORES[metric][1]
    line = running.query("seed == @seed and split == @split")
    momentary, average = line[line["kernel"] == "none"], line[line["kernel"] == kernel]
    axes.plot(momentary["step"], scale * momentary[metric], color=style.MOMENTARY, lw=1.6, label="momentary")
    axes.plot(
        average["step"],
        scale * average[metric],
        color=style.AVERAGE,
        lw=1.6,
        ls=(0, (5, 1.5, 1, 1.5)),
        label="running average",
    )
    here = trips.query("seed == @seed and split == @split and kernel in [@kernel, 'none']")
    windows = trips.loc[trips["kernel"] == kernel, "window_steps"].unique()
    widest = windows.max()
    for branch, rows in here[here["window_steps"].isin(windows)].groupby("branch"):
        ends = rows.assign(x=rows["branch"] + rows["window_steps"], y=scale * rows[metric])
        start = scale * np.interp(float(branch), momentary["step"], momentary[metric])  # type: ignore[arg-type]
        trip, points = ends[ends["model"] == "trip"], ends[ends["model"] == "average"]
        path = trip.sort_values("x")
        axes.plot([branch, *path["x"]], [start, *path["y"]], color=style.TRIP, ls=":", lw=1.2)
        axes.plot(trip["x"], trip["y"], "o", color=style.TRIP, ms=5, label="side trip")
        axes.plot(
            points["x"], points["y"], "o", mfc="none", mec=style.AVERAGE, mew=1.4, ms=9, label="average, same steps"
        )
    axes.set(xlabel="step", title=f"{style.KERNEL_TITLES[kernel]}, window {widest} steps")


def _zoom(axes: Axes, running: pd.DataFrame, trips: pd.DataFrame, seed: int, split: str, metric: str) -> None:
    """Leave out the first, steep part of the run."""
    scale = SCORES[metric][1]
    first = trips["branch"].min()
    line = running.query("seed == @seed and split == @split and step >= @first")
    ends = trips.query("seed == @seed and split == @split")
    values = scale * pd.concat([line[metric], ends[metric]]).dropna()
    margin = 0.08 * (values.max() - values.min())
    last = max(running["step"].max(), (trips["branch"] + trips["window_steps"]).max())
    axes.set(xlim=(0.85 * first, last * 1.02), ylim=(values.min() - margin, values.max() + margin))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique))


def figure_1(running: pd.DataFrame, trips: pd.DataFrame, seed: int, kernel: str = "two_point") -> Figure:
    """Validation accuracy of one averaging method over the run."""
    figure, axes = plt.subplots(figsize=(6.6, 4.0))
    draw(axes, running, trips, kernel, seed, "validation", "accuracy")
    _zoom(axes, running, trips, seed, "validation", "accuracy")
    axes.set(ylabel="validation accuracy (%)")
    _legend(figure, axes)
    return figure


def figure_5(
    running: pd.DataFrame, trips: pd.DataFrame, seed: int, split: str = "validation", metric: str = "accuracy"
) -> Figure:
    """All averaging methods side by side on one scale."""
    kernels = [kernel for kernel in style.KERNEL_TITLES if kernel in set(trips["kernel"])]
    figure, panels = plt.subplots(1, len(kernels), figsize=(10.2, 3.9), sharey=True, squeeze=False)
    for axes, kernel in zip(panels[0], kernels, strict=True):
        draw(axes, running, trips, kernel, seed, split, metric)
        _zoom(axes, running, trips, seed, split, metric)
    panels[0][0].set(ylabel=f"{style.SPLIT_TITLES[split]} {SCORES[metric][0]}")
    _legend(figure, panels[0][0])
    return figure
