"""Fig. 3: losses on the lines between two runs on one fixed batch."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.records import Tables

BATCHES = {"own": "the fixed batch", "held_out": "a held-out batch"}
ALONG = "α: 0 at the run of θ$_t$, 1 at θ$_{t+Δ}$"
NEAR_ZERO = 0.7  # of the largest loss: from so low on an axis begins at 0


def _process(axes: Axes) -> None:
    """Sketch: two runs leave the main trajectory, lines join them after each number of steps."""
    x = np.linspace(0, 1, 60)
    axes.plot(3 * x, 0.25 * np.sin(5 * x), color=style.MOMENTARY, lw=2)
    steps = np.linspace(0, 1, 5)
    colours = style.sequence(len(steps))
    left = np.stack([0.5 + 0.75 * steps, 0.185 + 1.5 * steps], axis=1)
    right = np.stack([2.6 - 0.75 * steps, -0.23 + 1.9 * steps], axis=1)
    for a, b, colour in zip(left, right, colours, strict=True):
        axes.plot(*np.stack([a, b]).T, color=colour, lw=1.6)
    for run in (left, right):
        axes.plot(*run.T, "o-", color="black", ms=4, lw=1)
    axes.annotate("θ$_t$", left[0], (-6, -14), textcoords="offset points", ha="center")
    axes.annotate("θ$_{t+Δ}$", right[0], (12, 2), textcoords="offset points", ha="center")
    axes.annotate(
        "main trajectory", (1.5, -0.02), (0, -30), textcoords="offset points", color=style.MOMENTARY, ha="center"
    )
    axes.annotate("steps on one batch", (1.55, 1.68), (0, 10), textcoords="offset points", ha="center")
    axes.set(xlim=(-0.2, 3.2), ylim=(-0.75, 2.1), title="the process")
    axes.axis("off")


def figure_3(table: pd.DataFrame, seed: int) -> Figure:
    """Draw the process, and for each two neighbouring branch points of one seed the losses on the lines between."""
    rows = table[(table["seed"] == seed) & (table["fixed_batch"] == 0) & (table["pair"] == "run")]
    neighbours = sorted({(int(a), int(b)) for a, b in zip(rows["branch"], rows["later_branch"], strict=True)})
    figure = plt.figure(figsize=(style.WIDE, 1.0 + 2.6 * len(neighbours)))
    grid = figure.add_gridspec(len(neighbours), 3, width_ratios=(0.7, 1, 1))
    _process(figure.add_subplot(grid[0, 0]))
    colours = style.sequence(rows["steps"].nunique())
    panels = []
    for i, (branch, later) in enumerate(neighbours):
        for j, (batch, title) in enumerate(BATCHES.items()):
            axes = figure.add_subplot(grid[i, 1 + j])
            here = rows[(rows["branch"] == branch) & (rows["batch"] == batch)]
            _lines(axes, here, colours)
            axes.set(title=f"{title},\nt = {branch}, t + Δ = {later}")
            if here["loss"].min() < NEAR_ZERO * here["loss"].max():  # else 0 is so far that all lines would be one
                axes.set(ylim=(0, None))
            axes.set(ylabel="" if j else "loss (nats)", xlabel=ALONG if i == len(neighbours) - 1 else "")
            panels.append(axes)
    scale = plt.cm.ScalarMappable(plt.Normalize(-0.5, len(colours) - 0.5), ListedColormap(colours))
    figure.colorbar(scale, ax=panels, ticks=range(len(colours)), label="steps on the fixed batch", aspect=30)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, colours: list[tuple[float, float, float]]) -> None:
    """Loss along the line between the two runs, after each number of steps."""
    for (_, here), colour in zip(rows.groupby("steps"), colours, strict=True):
        line = here.sort_values("alpha")
        axes.plot(line["alpha"], line["loss"], color=colour, lw=1.6)


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name."""
    return {"figure_3": figure_3(tables["fixed_batch"], config.seeds[0])}
