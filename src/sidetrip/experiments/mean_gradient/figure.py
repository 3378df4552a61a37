"""What gradient noise costs averages and trips, beyond the scatter that averaging takes away."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.report import style
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words, methods_in_order

MODELS = (("average", style.AVERAGE, "o"), ("trip", style.TRIP, "s"))  # name, colour, marker
BELOW = 0.3  # of the distance between methods, by which a trip stands below its average


def costs(lifts: pd.DataFrame, gaps: pd.DataFrame, confidence: float) -> Figure:
    """Left, an average and its trip; right, the difference of the two, seed by seed. A row for each method."""
    methods = methods_in_order(gaps["kernel"])
    size = (style.WIDE, 1.9 + 0.5 * len(methods))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(3, 2))
    for place, method in enumerate(methods):
        of_method = lifts[lifts["kernel"] == method]
        for below, (model, color, marker) in enumerate(MODELS):
            lift = student_interval(of_method.loc[of_method["model"] == model, "lift"].to_numpy(float), confidence)
            style.mark(left, lift, place + BELOW * below, label=model, color=color, fmt=marker)
        favour = student_interval(gaps.loc[gaps["kernel"] == method, "favour"].to_numpy(float), confidence)
        style.mark(right, favour, place + BELOW / 2, label="average − trip", color=style.OWN, fmt="D")
    for axes, title in ((left, "mean of the weights − run on the mean gradient"), (right, "average − trip of that")):
        axes.axvline(0.0, color="black", lw=0.8)
        axes.margins(y=0.15)
        axes.locator_params(axis="x", nbins=5)  # labels have many digits
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("nats of validation loss; noise costs more →", fontsize="small")
    left.set_yticks([place + BELOW / 2 for place in range(len(methods))], [method_words(m).title for m in methods])
    left.invert_yaxis()
    style.legend_below(figure, left, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figure of this experiment, by name; none where every trip diverged."""
    lifts, gaps = (tables[f"mean_gradient_{name}"].query("split == 'validation'") for name in ("lifts", "gaps"))
    return {} if gaps.empty else {"mean_gradient": costs(lifts, gaps, config.claims.confidence)}
