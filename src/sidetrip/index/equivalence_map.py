"""Where averaging replaces decay and where it stops, over the windows, branch points and rates of all variants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, PercentFormatter

from sidetrip.report import style
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN
from sidetrip.verdicts.wording import method_words, methods_in_order

LOSES = "loses"
MARKERS = {
    EQUAL: ("o", "equal"),
    WITHIN: ("D", "differs, by less than ¼ of the gain"),
    DIFFERS: ("X", "differs by more"),
    NOT_KNOWN: ("s", "not known"),
    LOSES: ("v", "the average is worse than the run itself"),
}
COLOURS = "coolwarm"
NO_RATIO: dict[str, Any] = {"facecolor": "white", "hatch": "//////"}  # where the gain is not clear of 0
LIMIT = 0.5  # of the ratio that colours show; beyond it they do not change
QUARTER, KEEPS_A_QUARTER = 0.25, "two_point"  # of a fall on a quadratic loss, at most
LATE, EARLY = 70, 30  # size of the mark
LOWER = 0.25  # by which early branch points lie lower, of the distance between rows
TICKS = [0.01, 0.03, 0.1, 0.3, 1.0]
SHAPES = "o^sDv"  # of the marks below: where there are more variants than colours, another one
Looks = Mapping[str, tuple[tuple[float, float, float], str]]


def rows_of(points: pd.DataFrame) -> list[tuple[str, float]]:
    """Variant and λ ÷ batch size at late branch points, of every row of the map, from cool to hot."""
    late = points[points["late"]] if points["late"].any() else points
    found = late.groupby("variant")["rate_over_batch"].mean().reset_index().sort_values(["rate_over_batch", "variant"])
    return list(found.itertuples(index=False, name=None))


def _panel(axes: Axes, points: pd.DataFrame, rows: list[tuple[str, float]], norm: TwoSlopeNorm) -> None:
    """Marks of one method: window ÷ branch step against the row of variant and rate."""
    heights = points["variant"].map({variant: i for i, (variant, _) in enumerate(rows)})
    points = points.assign(row=heights - np.where(points["late"], 0.0, LOWER), known=points["ratio_low"].notna())
    points["share"] = (points["gap"] / points["gain"].abs()).clip(-LIMIT, LIMIT)
    points["mark"] = points["outcome"].mask(points["known"] & (points["gain"] < 0), LOSES)
    for (mark, late, known), here in points.groupby(["mark", "late", "known"]):
        colours = plt.get_cmap(COLOURS)(norm(here["share"].to_numpy(float)))
        look: dict[str, Any] = {"c": colours} if known else NO_RATIO
        size = LATE if late else EARLY
        marker, _ = MARKERS[str(mark)]
        axes.scatter(
            here["window_over_branch"], here["row"], s=size, marker=marker, edgecolor="black", lw=0.7, zorder=3, **look
        )
    axes.set(xscale="log", ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_yticks(range(len(rows)), [f"{variant}\n{rate:.1e}" for variant, rate in rows], fontsize="small")


def looks_of(variants: Sequence[str]) -> Looks:
    """A colour and a shape for each variant, in their order, no two alike up to fifty."""
    colours = sns.color_palette("colorblind")  # told apart by those who see fewer colours as well
    looks = itertools.cycle((colour, shape) for shape in SHAPES for colour in colours)
    return dict(zip(variants, looks, strict=False))


def _against_fall(axes: Axes, points: pd.DataFrame, looks: Looks) -> None:
    """Average − trip of one method against the fall of the momentary loss; filled at late branch points."""
    for (variant, late), here in points.groupby(["variant", "late"]):
        colour, shape = looks[str(variant)]
        face = colour if late else "none"
        axes.scatter(here["fall"], here["gap"], s=30, marker=shape, facecolor=face, edgecolor=colour, lw=1.2, zorder=3)
    reach = np.array([min(0.0, float(points["fall"].min())), max(float(points["fall"].max()), 1e-3)])
    if (points["kernel"] == KEEPS_A_QUARTER).any():
        axes.plot(reach, QUARTER * reach, color="black", lw=1, ls="--")
    axes.axhline(0.0, color="black", lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set(xlabel="fall of the momentary loss\nover the window (nats)")


def draw_map(points: pd.DataFrame) -> Figure:
    """Draw points of `map_points`: a panel for each method; below it, average − trip against the fall of the loss."""
    rows, variants = rows_of(points), sorted(points["variant"].unique())
    methods = methods_in_order(points["kernel"])
    looks = looks_of(variants)
    x = points["window_over_branch"]
    height, norm = 0.8 + 0.55 * len(rows), TwoSlopeNorm(0.0, -LIMIT, LIMIT)
    figure, panels = plt.subplots(
        2,
        len(methods),
        figsize=(style.grid(len(methods)), height + 4.6),
        height_ratios=(height, 2.8),
        sharey="row",
        squeeze=False,
    )
    for column, method in enumerate(methods):
        here = points[points["kernel"] == method]
        _panel(panels[0][column], here, rows, norm)
        limits = x.min() / 1.4, 1.4 * x.max()
        panels[0][column].set(title=method_words(method).title, xlabel="window ÷ branch step", xlim=limits)
        _against_fall(panels[1][column], here, looks)
    panels[0][0].set(ylabel="variant, λ ÷ batch size")
    panels[1][0].set(ylabel="average − trip (nats)")
    scale = plt.cm.ScalarMappable(norm, COLOURS)
    figure.colorbar(
        scale,
        ax=panels[0],
        label="← average better      (average − trip) ÷ size of the gain      trip better →",
        location="top",
        aspect=50,
        shrink=0.6,
        extend="both",
    )
    _legend(figure, looks)
    return figure


def _legend(figure: Figure, looks: Looks) -> None:
    """One legend: the verdicts' marks, size and filling, the line, and the variants."""

    def mark(marker: str, size: float, face: object = "white", edge: object = "black") -> plt.Line2D:
        return plt.Line2D([], [], ls="", marker=marker, ms=size, mfc=face, mec=edge)

    entries: dict[str, Any] = {label: mark(marker, 8) for marker, label in MARKERS.values()}
    entries["hatched: the gain is not clear of 0"] = Patch(edgecolor="black", lw=0.7, **NO_RATIO)
    entries["above, small: early branch point"] = mark("s", 4)
    entries["below, hollow: early branch point"] = mark("o", 6)
    entries["below, two-point: ¼ of the fall"] = plt.Line2D([], [], color="black", ls="--")
    entries |= {variant: mark(shape, 6, colour, colour) for variant, (colour, shape) in looks.items()}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=3, fontsize="small")
