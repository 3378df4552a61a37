"""How all figures look: one colour a kind of model, the size at which a README shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.files import replacing

MOMENTARY, AVERAGE, TRIP = "#5b6b7b", "#0b72b5", "#d1431f"
OWN, HELD_OUT = "#7a3e9d", "#2b8a5c"
SPLIT_TITLES = {"train": "training", "validation": "validation"}


def apply_style() -> None:
    """Set fonts, sizes and grid; call before a figure is made."""
    mpl.use("Agg")
    sns.set_theme(
        context="paper",
        style="ticks",
        font_scale=1.1,
        rc={
            "figure.dpi": 100,
            "savefig.dpi": 130,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        },
    )


def sequence(n: int, palette: str = "flare") -> list[tuple[float, float, float]]:
    """Colours of n things in an order, light to dark, none too light to see."""
    return list(sns.color_palette(palette, n + 2))[2:]


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, str]], x: float | None = None, room: float = 0.38) -> None:
    """Write each line's name at its right end (label to last value and colour), pushed apart until none overlap.

    `room` is the share of the axes' width that the names get. Call after the lines are drawn.
    """
    left, right = axes.get_xlim()
    at = right if x is None else x
    right = at
    bottom, top = axes.get_ylim()
    gap, floor = 0.075 * (top - bottom), bottom
    for label, (value, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(value, floor)
        floor = height + gap
        axes.text(right, height, f" {label}", color=colour, va="center", ha="left", fontsize="small")
    ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
    axes.set(xlim=(left, left + (right - left) / (1 - room)), ylim=(bottom, max(top, floor)), xticks=ticks)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, atomically, without a version stamp: the same figure has the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
    plt.close(figure)
