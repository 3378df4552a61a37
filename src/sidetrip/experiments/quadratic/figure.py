"""Fig. 4, 9, 11, Lemma 1 and Appendix A: the analytic model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from sidetrip.config import Config
from sidetrip.experiments.quadratic.verdict import covariance_ratios
from sidetrip.report import style
from sidetrip.verdicts.records import Tables

RUNS = {  # run: (label, colour, line style)
    "large_rate": ("large rate", style.MOMENTARY, "-"),
    "small_rate": ("small rate", style.TRIP, "-"),
    "ema": ("EMA of the large rate", style.AVERAGE, "--"),
}
FORMULAS = {"exact": ("exact form", style.AVERAGE, "o"), "eq_19": ("eq. 19", style.TRIP, "s")}


def _arrow(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str, label: str, offset: tuple[int, int]) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tuple(end), tuple(start), arrowprops=look)
    middle = tuple((start + end) / 2)
    axes.annotate(label, middle, offset, textcoords="offset points", color=colour, ha="center", va="center")


def figure_4(points: pd.DataFrame) -> Figure:
    """Draw a step's drag and drift, and points of a stationary ellipsoid with their midpoints inside it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.WIDE, 4.2))
    theta, step = np.array([1.6, 1.0]), np.array([-0.75, 0.25])
    drag = theta * (theta @ step) / (theta @ theta)
    turn = np.linspace(0, 2 * np.pi, 200)
    radius = float(np.linalg.norm(theta))
    left.plot(radius * np.cos(turn), radius * np.sin(turn), color="black", lw=0.8, alpha=0.5)
    left.plot(0, 0, "k+", ms=9, mew=1.5)
    left.annotate("minimum", (0, 0), (0, -13), textcoords="offset points", ha="center", fontsize="small")
    _arrow(left, np.zeros(2), theta, "black", "θ", (10, -8))
    _arrow(left, theta, theta + drag, style.AVERAGE, "drag", (12, -12))
    _arrow(left, theta + drag, theta + step, style.TRIP, "drift", (-18, -10))
    _arrow(left, theta, theta + step, style.OWN, "step", (6, 12))
    left.set(aspect="equal", xlim=(-0.4, 2.3), ylim=(-0.45, 2.05), title="a step splits along and across θ")
    left.axis("off")
    first, second = points[["first_x", "first_y"]].to_numpy(), points[["second_x", "second_y"]].to_numpy()
    middle = (first + second) / 2
    right.plot(*first.T, ".", color=style.MOMENTARY, ms=4, alpha=0.5, label="points of the trajectory")
    right.plot(*middle.T, ".", color=style.AVERAGE, ms=4, alpha=0.7, label="midpoints of two of them")
    for cloud, colour in ((np.vstack([first, second]), style.MOMENTARY), (middle, style.AVERAGE)):
        values, axes_of = np.linalg.eigh(cloud.T @ cloud / len(cloud))
        ellipse = (axes_of * np.sqrt(2 * values)) @ np.stack([np.cos(turn), np.sin(turn)])
        right.plot(*ellipse, color=colour, lw=2)
    right.set(aspect="equal", title="midpoints lie inside the stationary ellipsoid", xlabel="fast coordinate")
    right.set(ylabel="slow coordinate", xlim=(-1.15 * np.abs(first).max(), 1.15 * np.abs(first).max()))
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, markerscale=2.5)
    return figure


def _mean_and_band(axes: Axes, table: pd.DataFrame, label: str, colour: str, line: str) -> None:
    """Mean over the groups, and one standard error either side."""
    found = table.groupby("step")["loss"].agg(["mean", "sem"])
    axes.plot(found.index, found["mean"], color=colour, ls=line, lw=1.8, label=label)
    axes.fill_between(found.index, found["mean"] - found["sem"], found["mean"] + found["sem"], color=colour, alpha=0.2)


def figure_9(two_scales: pd.DataFrame) -> Figure:
    """Draw the total loss at both rates and of the EMA."""
    figure, axes = plt.subplots(figsize=(6.6, 3.8))
    total = two_scales.groupby(["step", "run", "group"], as_index=False)["loss"].sum()
    for run, look in RUNS.items():
        _mean_and_band(axes, total[total["run"] == run], *look)
    axes.set(yscale="log", xlabel="step", ylabel="loss, both coordinates")
    axes.legend()
    return figure


def figure_11(two_scales: pd.DataFrame) -> Figure:
    """Draw the same per degree of freedom."""
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDE, 3.8))
    for axes, coordinate in zip(panels, ("fast", "slow"), strict=True):
        for run, look in RUNS.items():
            rows = two_scales[(two_scales["run"] == run) & (two_scales["coordinate"] == coordinate)]
            _mean_and_band(axes, rows, *look)
        axes.set(yscale="log", xlabel="step", ylabel="loss", title=f"{coordinate} coordinate")
        axes.yaxis.set_minor_formatter(NullFormatter())
    style.legend_below(figure, panels[1])
    return figure


def lemma_1(table: pd.DataFrame) -> Figure:
    """Draw the stationary radius against the rate, with the exact curve for A = I."""
    figure, axes = plt.subplots(figsize=(6.6, 3.8))
    for model, label, colour, marker in (
        ("identity", "A = I", style.AVERAGE, "o"),
        ("random", "random A with E[AᵀA] = I", style.TRIP, "s"),
    ):
        radius = np.sqrt(table[table["model"] == model].groupby("rate")["mean_square_radius"].mean())
        axes.plot(radius.index, radius, marker, color=colour, ms=7, mfc="none", mew=1.8, label=f"simulated, {label}")
    exact = np.sqrt(table[table["model"] == "identity"].groupby("rate")["exact"].first())
    axes.plot(exact.index, exact, color="black", lw=1.2, label="√(λ/(2 − λ)) · √E‖c‖², A = I")
    axes.set(xscale="log", yscale="log", xlabel="learning rate λ", ylabel="stationary radius")
    for axis, marks in ((axes.xaxis, exact.index), (axes.yaxis, exact)):
        axis.set_major_locator(FixedLocator(list(marks)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.legend()
    return figure


def appendix_a(ratios: pd.DataFrame) -> Figure:
    """Draw simulated over closed-form covariance with intervals, by kernel, for both Ω and both formulas."""
    # Each its own scale: where eq. 19 fails it fails by far.
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDE, 3.8))
    kernels = list(dict.fromkeys(ratios["kernel"]))
    for axes, omega in zip(panels, ("symmetric", "non_symmetric"), strict=True):
        axes.axhline(1.0, color="black", lw=0.8)
        for shift, (formula, (label, colour, marker)) in zip((-0.1, 0.1), FORMULAS.items(), strict=True):
            rows = ratios[(ratios["omega"] == omega) & (ratios["formula"] == formula)].set_index("kernel").loc[kernels]
            reach = (rows["ratio"] - rows["low"], rows["high"] - rows["ratio"])
            places = np.arange(len(kernels)) + shift
            axes.errorbar(places, rows["ratio"], reach, fmt=marker, color=colour, ms=6, capsize=3, label=label)
        axes.set(xlim=(-0.5, len(kernels) - 0.5), title=f"{omega.replace('_', '-')} Ω")
        axes.set_xticks(range(len(kernels)), kernels)
    panels[0].set(ylabel="simulated ÷ closed form")
    style.legend_below(figure, panels[1])
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {
        "figure_4": figure_4(tables["stationary_points"]),
        "figure_9": figure_9(tables["two_scales"]),
        "figure_11": figure_11(tables["two_scales"]),
        "lemma_1": lemma_1(tables["lemma_1"]),
        "appendix_a": appendix_a(covariance_ratios(tables["appendix_a"], config.claims.confidence)),
    }
