"""Fig. 1 and 5: averages of the main trajectory against side trips with the equivalent schedule."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config, SideTrips
from sidetrip.experiments.methods import METHODS
from sidetrip.figures import style

TITLES = {method.name: method.title for method in METHODS}
SCORES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss (nats)", 1.0)}


def draw_method(
    axes: Axes, running: pd.DataFrame, trips: pd.DataFrame, kernel: str, seed: int, split: str, metric: str
) -> None:
    """Draw one kernel's panel: momentary line, running average, trips from every branch point."""
    scale = SCORES[metric][1]
    line = running.query("seed == @seed and split == @split")
    # Where one window ends and the next begins there are two rows of one state.
    line = line.sort_values("step").drop_duplicates(["kernel", "step"])
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
    axes.set(xlabel="step", title=f"{TITLES[kernel]}, window {widest} steps")


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
    draw_method(axes, running, trips, kernel, seed, "validation", "accuracy")
    _zoom(axes, running, trips, seed, "validation", "accuracy")
    axes.set(ylabel="validation accuracy (%)")
    _legend(figure, axes)
    return figure


def figure_5(
    running: pd.DataFrame, trips: pd.DataFrame, seed: int, split: str = "validation", metric: str = "accuracy"
) -> Figure:
    """All averaging methods side by side on one scale."""
    kernels = [kernel for kernel in TITLES if kernel in set(trips["kernel"])]
    figure, panels = plt.subplots(1, len(kernels), figsize=(10.2, 3.9), sharey=True, squeeze=False)
    for axes, kernel in zip(panels[0], kernels, strict=True):
        draw_method(axes, running, trips, kernel, seed, split, metric)
        _zoom(axes, running, trips, seed, split, metric)
    panels[0][0].set(ylabel=f"{style.SPLIT_TITLES[split]} {SCORES[metric][0]}")
    _legend(figure, panels[0][0])
    return figure


def figure_14(running: pd.DataFrame, trips: pd.DataFrame, seed: int) -> Figure:
    """Fig. 5 as accuracy and loss, validation and training: one row each, one column an averaging method."""
    kernels = [kernel for kernel in TITLES if kernel in set(trips["kernel"])]
    rows = [(split, metric) for split in ("validation", "train") for metric in ("accuracy", "loss")]
    figure, panels = plt.subplots(
        len(rows), len(kernels), figsize=(10.2, 11.0), sharex=True, sharey="row", squeeze=False
    )
    for i, (split, metric) in enumerate(rows):
        for j, kernel in enumerate(kernels):
            axes = panels[i][j]
            draw_method(axes, running, trips, kernel, seed, split, metric)
            _zoom(axes, running, trips, seed, split, metric)
            axes.set(title=axes.get_title() if i == 0 else "", xlabel="step" if i == len(rows) - 1 else "")
        panels[i][0].set(ylabel=f"{style.SPLIT_TITLES[split]} {SCORES[metric][0]}")
    _legend(figure, panels[0][0])
    return figure


def figure_10(running: pd.DataFrame, trips: pd.DataFrame, seed: int) -> Figure:
    """Two-point averaging and its trips: validation accuracy and loss."""
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.8))
    for axes, metric in zip(panels, ("accuracy", "loss"), strict=True):
        draw_method(axes, running, trips, "two_point", seed, "validation", metric)
        _zoom(axes, running, trips, seed, "validation", metric)
        axes.set(ylabel=f"validation {SCORES[metric][0]}")
    _legend(figure, panels[0])
    return figure


def rate_factors(settings: SideTrips) -> Figure:
    """What the quadratic model predicts of each average: effective over actual rate by degree of freedom (App. A)."""
    figure, axes = plt.subplots(figsize=(6.6, 3.8))
    x = np.logspace(-4, np.log10(1.9), 300)
    for method in METHODS:
        kernel = max(method.kernels(settings), key=lambda kernel: kernel.steps)
        label = f"{method.title}, {kernel.steps} steps"
        axes.plot(x, kernel.rate_factor(x), color=method.colour, lw=1.8, label=label)
    axes.set(xscale="log", ylim=(0, 1.05), xlabel="λκ: slow degrees of freedom left, fast ones right")
    axes.set(ylabel="effective ÷ actual learning rate")
    axes.legend()
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    running, trips, seed = tables["running_averages"], tables["side_trips"], config.seeds[0]
    return {
        "figure_1": figure_1(running, trips, seed),
        "figure_5": figure_5(running, trips, seed),
        "figure_10": figure_10(running, trips, seed),
        "figure_14": figure_14(running, trips, seed),
        "rate_factors": rate_factors(config.side_trips),
    }
