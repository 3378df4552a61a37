"""How all figures look: one colour a kind of model, the size at which a README shows them."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

MOMENTARY, AVERAGE, TRIP = "#5b6b7b", "#0b72b5", "#d1431f"
OWN, HELD_OUT = "#7a3e9d", "#2b8a5c"
KERNEL_TITLES = {"swa": "SWA", "two_point": "Two-point", "ema": "EMA"}
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


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, atomically, without a version stamp: the same figure has the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.png")
    figure.savefig(temporary, metadata={"Software": None})
    os.replace(temporary, path)
    plt.close(figure)
