"""Fig. 1, 5, 10, 14: averages of the main trajectory against side trips with the equivalent schedule."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config, SideTrips
from sidetrip.experiments.methods import METHODS, Method
from sidetrip.figures import style
from sidetrip.verdicts.single_step import curvature_at_rate

SCORES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss (nats)", 1.0)}


def momentary_line(running: pd.DataFrame, metric: str, look_every: int, looks: int) -> pd.DataFrame:
    """Mean and spread of the momentary model's looks that lie close together, by their last step.

    Columns step, mean, low, high (extremes of the looks).
    """
    rows = running[running["kernel"] == "none"].drop_duplicates("step").sort_values("step")
    together = (rows["step"].diff() > look_every * looks).cumsum()
    found = rows.groupby(together).agg(
        step=("step", "last"), mean=(metric, "mean"), low=(metric, "min"), high=(metric, "max")
    )
    return found.reset_index(drop=True)


class Panel:
    """One averaging method over the run of one seed, in one score of one split."""

    def __init__(
        self, axes: Axes, tables: Mapping[str, pd.DataFrame], config: Config, method: Method, split: str, metric: str
    ) -> None:
        self._axes, self._config, self._method, self._metric = axes, config, method, metric
        self._scale = SCORES[metric][1]
        self._seed = config.seeds[0]
        here = "seed == @self._seed and split == @split"
        self._running = tables["running_averages"].query(here)
        self._scores = tables["side_trips"].query(here)

    def draw(self) -> None:
        """Draw the momentary line, the running average, and average and trip from every branch point."""
        axes, settings = self._axes, self._config.side_trips
        line = momentary_line(self._running, self._metric, settings.look_every, settings.looks)
        low, high = self._scale * line["low"], self._scale * line["high"]
        axes.fill_between(line["step"], low, high, color=style.MOMENTARY, alpha=0.2, lw=0)
        axes.plot(line["step"], self._scale * line["mean"], color=style.MOMENTARY, lw=1.6, label="momentary")
        average = self._running[self._running["kernel"] == self._method.name].sort_values("step")
        dashes = (0, (5, 1.5, 1, 1.5))
        axes.plot(
            average["step"],
            self._scale * average[self._metric],
            color=style.AVERAGE,
            lw=1.6,
            ls=dashes,
            label="running average",
        )
        for branch, rows in self._scores[self._scores["kernel"] == self._method.name].groupby("branch"):
            self._draw_point(int(str(branch)), rows, line)
        widest = max(kernel.steps for kernel in self._method.kernels(settings))
        axes.set(xlabel="step", title=f"{self._method.title}, window {widest} steps")

    def _draw_point(self, branch: int, rows: pd.DataFrame, line: pd.DataFrame) -> None:
        means = rows.groupby(["model", "window_steps"])[self._metric].mean() * self._scale
        late = branch in self._config.branch.points
        start = self._scale * np.interp(branch, line["step"], line["mean"])
        trip, average = means["trip"], means["average"]
        alpha = 1.0 if late else 0.45
        self._axes.plot([branch, *(branch + trip.index)], [start, *trip], color=style.TRIP, ls=":", lw=1.2, alpha=alpha)
        self._axes.plot(branch + trip.index, trip, "o", color=style.TRIP, ms=5, alpha=alpha, label="side trip")
        self._axes.plot(
            branch + average.index,
            average,
            "o",
            mfc="none",
            mec=style.AVERAGE,
            mew=1.4,
            ms=9,
            alpha=alpha,
            label="average, same steps",
        )

    def zoom(self) -> None:
        """Leave out the first, steep part of the run."""
        first = min(self._config.branch.steps)
        shown = self._running[self._running["step"] >= first]
        values = self._scale * pd.concat([shown[self._metric], self._scores[self._metric]]).dropna()
        margin = 0.06 * (values.max() - values.min())
        last = max(self._running["step"].max(), (self._scores["branch"] + self._scores["window_steps"]).max())
        margin_of_steps = 0.04 * (last - first)
        self._axes.set(xlim=(first - margin_of_steps, last + margin_of_steps))
        self._axes.set(ylim=(values.min() - margin, values.max() + margin))


def _panels(
    figure: Figure,
    panels: np.ndarray,
    tables: Mapping[str, pd.DataFrame],
    config: Config,
    rows: list[tuple[str, str]],
    methods: list[Method],
) -> Figure:
    """Fill a grid: one row for each (split, metric), one column for each method."""
    for i, (split, metric) in enumerate(rows):
        for axes, method in zip(panels[i], methods, strict=True):
            panel = Panel(axes, tables, config, method, split, metric)
            panel.draw()
            panel.zoom()
            axes.set(title=axes.get_title() if i == 0 else "", xlabel="step" if i == len(rows) - 1 else "")
        panels[i][0].set(ylabel=f"{style.SPLIT_TITLES[split]} {SCORES[metric][0]}")
    style.legend_below(figure, panels[0][0])
    return figure


def _named(name: str) -> Method:
    return next(method for method in METHODS if method.name == name)


def figure_1(tables: Mapping[str, pd.DataFrame], config: Config) -> Figure:
    """Validation accuracy of two-point averages and trips at half the rate over the run."""
    figure, axes = plt.subplots(1, 1, figsize=(6.8, 4.0), squeeze=False)
    return _panels(figure, axes, tables, config, [("validation", "accuracy")], [_named("two_point")])


def figure_5(tables: Mapping[str, pd.DataFrame], config: Config) -> Figure:
    """The same for every averaging method."""
    figure, panels = plt.subplots(1, len(METHODS), figsize=(1.2 + 3.1 * len(METHODS), 3.8), sharey=True, squeeze=False)
    return _panels(figure, panels, tables, config, [("validation", "accuracy")], list(METHODS))


def figure_10(tables: Mapping[str, pd.DataFrame], config: Config) -> Figure:
    """Two-point averaging and its trips: validation accuracy and loss."""
    figure, panels = plt.subplots(2, 1, figsize=(7.4, 6.2), sharex=True, squeeze=False)
    rows = [("validation", "accuracy"), ("validation", "loss")]
    return _panels(figure, panels, tables, config, rows, [_named("two_point")])


def figure_14(tables: Mapping[str, pd.DataFrame], config: Config) -> Figure:
    """Accuracy and loss, validation and training: one row each, one column for each averaging method."""
    rows = [(split, metric) for split in ("validation", "train") for metric in ("accuracy", "loss")]
    figure, panels = plt.subplots(
        len(rows), len(METHODS), figsize=(1.2 + 3.1 * len(METHODS), 11.0), sharex=True, sharey="row", squeeze=False
    )
    return _panels(figure, panels, tables, config, rows, list(METHODS))


def rate_factors(settings: SideTrips, measured: pd.Series) -> Figure:
    """What the quadratic model predicts of each average, and the curvature along batches' gradients (App. A)."""
    figure, axes = plt.subplots(figsize=(7.4, 4.0))
    x = np.logspace(-4, np.log10(1.9), 300)
    for method in METHODS:
        kernel = max(method.kernels(settings), key=lambda kernel: kernel.steps)
        axes.plot(x, kernel.rate_factor(x), color=method.colour, lw=1.8, label=f"{method.title}, {kernel.steps} steps")
    found = measured[measured > 0]
    if len(found):
        axes.axvspan(float(found.quantile(0.1)), float(found.quantile(0.9)), color="black", alpha=0.08, lw=0)
        axes.axvline(found.median(), color="black", lw=1, ls="--", label="along a batch's gradient, measured")
    axes.set(xscale="log", ylim=(0, 1.05), ylabel="effective ÷ actual learning rate")
    axes.set(xlabel="λκ/(1 − μ): rate with the factor of momentum × curvature")
    axes.legend()
    return figure


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {
        "figure_1": figure_1(tables, config),
        "figure_5": figure_5(tables, config),
        "figure_10": figure_10(tables, config),
        "figure_14": figure_14(tables, config),
        "rate_factors": rate_factors(config.side_trips, curvature_at_rate(tables["curvature"], config)),
    }
