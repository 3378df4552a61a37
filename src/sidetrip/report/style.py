"""How all figures look: one colour for each kind of model, the size at which a README shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sidetrip.files import replacing
from sidetrip.verdicts.records import Interval

MOMENTARY, AVERAGE, TRIP = "#5b6b7b", "#0b72b5", "#d1431f"
OWN, HELD_OUT = "#7a3e9d", "#2b8a5c"
INDEPENDENT = "#b8860b"
COLOURS = {"swa": "#0b72b5", "two_point": "#d1431f", "ema": "#7a3e9d"}  # of averaging methods
COLOURS |= {"linear": "#d1431f", "cosine": "#2b8a5c", "1-sqrt": "#7a3e9d"}  # of decays
OTHERS = sns.color_palette("dark").as_hex()  # of methods and decays that have no colour of their own
WIDE = 9.0  # inches; a README shows it at about 850 pixels


def apply_style() -> None:
    """Set fonts, sizes and grid; call before a figure is made."""
    mpl.use("Agg")
    sns.set_theme(
        context="paper",
        style="ticks",
        font_scale=1.15,
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


def colour_of(name: str) -> str:
    """Colour of the lines of an averaging method, or of the marks of a decay."""
    return COLOURS.get(name) or str(OTHERS[sum(name.encode()) % len(OTHERS)])


def grid(columns: int) -> float:
    """Width in inches of a figure of so many panels side by side; up to three have the width of a README."""
    return WIDE if columns <= 3 else WIDE * columns / 3


def sequence(n: int, palette: str = "flare") -> list[tuple[float, float, float]]:
    """Colours of n things in an order, light to dark, none too light to see."""
    return list(sns.color_palette(palette, n + 2))[2:]


def curve(axes: plt.Axes, table: pd.DataFrame, x: str, y: str, colour: str, label: str, line: str = "-") -> None:
    """A line of the mean over seeds, with their standard deviation as a band; a seed's own rows are averaged first."""
    seeds = table.groupby(["seed", x], as_index=False)[y].mean()
    look: dict[str, Any] = {"lw": 1.7, "ls": line, "err_kws": {"alpha": 0.15, "lw": 0}, "legend": False}
    sns.lineplot(seeds, x=x, y=y, errorbar="sd", color=colour, label=label, ax=axes, **look)
    axes.set(xlabel="", ylabel="")


def mark(axes: plt.Axes, found: Interval, place: float, **look: Any) -> None:
    """A number with its interval, if that has ends, in the row at `place`."""
    reach = np.array([[found.value - found.low], [found.high - found.value]]) if found.bounded else None
    axes.errorbar(found.value, place, xerr=reach, ms=6, capsize=3, lw=1.4, **look)


def labelled(axes: plt.Axes) -> dict[str, Any]:
    """What a panel shows in its legend, by label; each label once."""
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def legend_below(figure: Figure, source: plt.Axes, columns: int = 5) -> None:
    """One legend for the whole figure, below it, from the labels of one panel."""
    unique = labelled(source)
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=min(columns, len(unique)))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, atomically, without a version stamp: the same figure has the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
    plt.close(figure)
