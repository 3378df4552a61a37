"""What gradient noise costs averages and trips, beyond the scatter that averaging takes away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words, methods_in_order

MODELS = (("average", style.AVERAGE, "o"), ("trip", style.TRIP, "s"))  # name, colour, marker
BELOW = 0.3  # of the distance between methods, by which a trip stands below its average


def costs(lifts: pd.DataFrame, gaps: pd.DataFrame, confidence: float) -> Figure:
    """Left, an average and its trip; right, the difference of the two, seed by seed. A row for each method.

    Parameters
    ----------
    lifts, gaps : DataFrame
        Of one split: the tables mean_gradient_lifts and mean_gradient_gaps.
    confidence : float
        Of the intervals over seeds.
    """
    methods = methods_in_order(gaps["kernel"])
    size = (style.WIDE, 1.9 + 0.5 * len(methods))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(3, 2))
    for place, method in enumerate(methods):
        of_method = lifts[lifts["kernel"] == method]
        for below, (model, color, marker) in enumerate(MODELS):
            values = of_method.loc[of_method["model"] == model, "lift"]
            _mark(left, values, place + BELOW * below, confidence, label=model, color=color, fmt=marker)
        favour = gaps.loc[gaps["kernel"] == method, "favour"]
        _mark(right, favour, place + BELOW / 2, confidence, label="average − trip", color=style.OWN, fmt="D")
    for axes, title in ((left, "mean of the weights − run on the mean gradient"), (right, "average − trip of that")):
        axes.axvline(0.0, color="black", lw=0.8)
        axes.margins(y=0.15)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("nats of validation loss; noise costs more →", fontsize="small")
    left.set_yticks([place + BELOW / 2 for place in range(len(methods))], [method_words(m).title for m in methods])
    left.invert_yaxis()
    style.legend_below(figure, left, columns=2)
    return figure


def _mark(axes: Axes, values: pd.Series, place: float, confidence: float, **look: Any) -> None:
    """A mean over seeds with its interval, if it has one."""
    found = student_interval(values.to_numpy(float), confidence)
    reach = np.array([[found.value - found.low], [found.high - found.value]]) if found.bounded else None
    axes.errorbar(found.value, place, xerr=reach, ms=6, capsize=3, lw=1.4, **look)


def draw(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name; none where every trip diverged."""
    lifts, gaps = (tables[f"mean_gradient_{name}"].query("split == 'validation'") for name in ("lifts", "gaps"))
    return {} if gaps.empty else {"mean_gradient": costs(lifts, gaps, config.claims.confidence)}
