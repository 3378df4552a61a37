"""Fig. 1, 5, 10, 14: averages of the main trajectory against side trips with the equivalent schedule."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config, SideTrips
from sidetrip.experiments.methods import METHODS, Method
from sidetrip.experiments.single_step.verdict import curvature_at_rate
from sidetrip.kernels import Schedule
from sidetrip.measure.second_order import factors, trip_factors
from sidetrip.report import style
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.scores import TITLES, first_shown, stretch
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words

SCORES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss (nats)", 1.0)}


def momentary_line(looks: pd.DataFrame, metric: str, every: int) -> pd.DataFrame:
    """Mean and spread of the momentary model's scores over stretches of the run, by the mean step of each.

    Of looks (seed, step and the scores) a step of a seed may come twice; a stretch has `every` steps. The columns are
    step, mean, low, high (mean ∓ standard deviation of the looks).
    """
    rows = looks.drop_duplicates(["seed", "step"])
    found = rows.groupby(rows["step"] // every).agg(step=("step", "mean"), mean=(metric, "mean"), std=(metric, "std"))
    spread = found["std"].fillna(0.0)
    found = found.assign(low=found["mean"] - spread, high=found["mean"] + spread)
    return found[["step", "mean", "low", "high"]].reset_index(drop=True)


def ends(scores: pd.DataFrame, metric: str, confidence: float) -> pd.DataFrame:
    """Scores of average and trip from one branch point, means over seeds, and the interval of their difference.

    Of rows of side_trips of one method, split and branch point; indexed by window_steps: average, trip, reach (half the
    interval of average − trip over seeds, which are paired; not finite with one seed).
    """
    seeds = scores.groupby(["window_steps", "seed", "model"])[metric].mean().unstack()  # noqa: PD010
    found = seeds.groupby("window_steps")[["average", "trip"]].mean()
    gaps = (seeds["average"] - seeds["trip"]).groupby("window_steps")
    intervals = gaps.apply(lambda gap: student_interval(gap.dropna().to_numpy(float), confidence))
    return found.assign(reach=[(interval.high - interval.low) / 2 for interval in intervals])


def _draw_panel(
    axes: Axes,
    tables: Tables,
    config: Config,
    method: Method,
    split: str,
    metric: str,
    late: bool,
) -> None:
    """Draw one averaging method in one score of one split: over the run of the first seed, or late in the runs of all.

    The momentary line, the running average, and average and trip from every branch point.
    """
    settings, points, scale = config.side_trips, config.branch.points, SCORES[metric][1]
    first = points[0] if late else first_shown(config)
    steps = method.widest(settings).steps if late else stretch(config)
    seeds = config.seeds if late else config.seeds[:1]  # averages along the run are of the first seed alone
    running, scores = (
        table[(table["split"] == split) & table["seed"].isin(seeds)]
        for table in (tables["running_averages"], tables["side_trips"])
    )
    running = running[running["step"] >= (np.inf if late else first)]
    scores = scores[scores["branch"] >= first]
    after = scores[scores["model"] == "momentary"]  # looks at the run after the branch points
    after = after.assign(step=after["branch"] + after["window_steps"] - settings.look_every * after["look"])
    looks = pd.concat([running[running["kernel"] == "none"], after])
    line = scale * momentary_line(looks, metric, steps).set_index("step")
    axes.fill_between(line.index, line["low"], line["high"], color=style.MOMENTARY, alpha=0.22, lw=0)
    axes.plot(line.index, line["mean"], color=style.MOMENTARY, lw=1.8, label="momentary")
    average = running[running["kernel"] == method.name].set_index("step")[metric]
    if len(average) > 1:  # one is no line
        look: dict[str, Any] = {"color": style.AVERAGE, "lw": 1.4, "ls": (0, (5, 1.5, 1, 1.5))}
        axes.plot(average.index, scale * average, label="average along the run", **look)
    for branch, rows in scores[scores["kernel"] == method.name].groupby("branch"):
        _draw_point(axes, int(str(branch)), branch in points, scale * ends(rows, metric, config.claims.confidence))


def _draw_point(axes: Axes, branch: int, late: bool, found: pd.DataFrame) -> None:
    """Draw average and trip from one branch point, of `ends`."""
    x, reach = branch + found.index, found["reach"].where(np.isfinite(found["reach"]))
    suffix, alpha = ("", 1.0) if late else (", early branch point", 0.45)
    look: dict[str, Any] = {"color": style.TRIP, "ls": ":", "lw": 1.2, "ms": 5, "alpha": alpha}
    axes.plot(x, found["trip"], marker="o", label=f"side trip{suffix}", **look)
    axes.errorbar(x, found["trip"], reach, fmt="none", ecolor=style.TRIP, elinewidth=1.4, alpha=alpha)
    look = {"ls": "", "mfc": "none", "mec": style.AVERAGE, "mew": 1.4, "ms": 9, "alpha": alpha}
    axes.plot(x, found["average"], marker="o", label=f"average{suffix}", **look)
    axes.axvline(branch, color="black", lw=0.7, ls=":", alpha=0.6 * alpha)


def _grid(
    tables: Tables,
    config: Config,
    rows: list[tuple[str, str]],
    methods: Sequence[Method],
    size: tuple[float, float],
    late: bool = False,
    **shared: Any,
) -> Figure:
    """Draw a grid of panels: one row for each (split, metric), one column for each method."""
    figure, panels = plt.subplots(len(rows), len(methods), figsize=size, squeeze=False, **shared)
    for i, (split, metric) in enumerate(rows):
        for axes, method in zip(panels[i], methods, strict=True):
            _draw_panel(axes, tables, config, method, split, metric, late)
        panels[i][0].set(ylabel=f"{TITLES[split]} {SCORES[metric][0]}")
    for method, first, last in zip(methods, panels[0], panels[-1], strict=True):
        first.set(title=method_words(method.name).title)
        last.set(xlabel="step")
    style.legend_below(figure, panels[0][0], columns=3)
    return figure


def rate_factors(settings: SideTrips, measured: pd.Series, momentum: float) -> Figure:
    """What noise the quadratic model leaves in each method's widest average and its trip (App. A), with momentum μ.

    And the curvature that was `measured`: λκ/(1 − μ), one value for each own batch.
    """
    figure, axes = plt.subplots(figsize=(7.4, 4.0))
    x = np.logspace(-4, np.log10(1.9), 300)
    for method in METHODS:
        kernel = method.widest(settings)
        label, colour = f"{method_words(method.name).title}, {kernel.steps} steps", style.colour_of(method.name)
        at_rate, own = x * (1.0 - momentum), Schedule.constant(kernel.steps)
        axes.plot(x, factors(own, kernel, at_rate, momentum).variance, color=colour, lw=1.8, label=label)
        trip = trip_factors(kernel.schedule(), at_rate, momentum).variance
        axes.plot(x, trip, color=colour, lw=1.2, ls=(0, (3, 2)))
    axes.plot([], [], color=style.MOMENTARY, lw=1.2, ls=(0, (3, 2)), label="broken lines: their trips")
    found = measured[measured > 0]
    if len(found):
        axes.axvspan(float(found.quantile(0.1)), float(found.quantile(0.9)), color="black", alpha=0.08, lw=0)
        label = f"measured along gradients of batches: {found.median():#.2g}"
        axes.axvline(found.median(), color="black", lw=1.2, label=label)
    axes.set(xscale="log", ylim=(0, 1.05), ylabel="noise ÷ that of one iterate")
    axes.set(xlabel="λκ/(1 − μ): learning rate × curvature, the factor 1/(1 − μ) of momentum included")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name, with the numbers of the paper's."""
    settings = config.burn_in.optimizer
    momentum = settings.momentum if settings.name == "sgd" else 0.0  # of another optimizer there is no such model
    sgd = settings.name == "sgd" and "single_step" not in config.left_out
    curvature = curvature_at_rate(tables["curvature"], config) if sgd else pd.Series(dtype=float)
    two_point = [method for method in METHODS if method.name == "two_point"]
    accuracy, loss = ("validation", "accuracy"), ("validation", "loss")
    of_both = [(split, metric) for split in ("validation", "train") for metric in ("accuracy", "loss")]
    wide, grid = style.grid(len(METHODS)), partial(_grid, tables, config)
    return {
        "figure_1": grid([accuracy], two_point, (6.8, 4.0)),
        "figure_5": grid([accuracy], METHODS, (wide, 4.0), late=True, sharey=True),
        "figure_10": grid([accuracy, loss], two_point, (7.4, 6.2), sharex=True),
        "figure_14": grid(of_both, METHODS, (wide, 10.4), late=True, sharex=True, sharey="row"),
        "rate_factors": rate_factors(config.side_trips, curvature, momentum),
    }
