"""Fig. 6 and 8: distances in weight space along side trips."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sidetrip.config import Config
from sidetrip.experiments.divergence.verdict import to_the_end
from sidetrip.report import style
from sidetrip.verdicts.records import POINT, Tables
from sidetrip.verdicts.statistics import late

LINES = {  # column: (label, colour, line style)
    "trip_to_independent": ("two λ trips on different batches", style.INDEPENDENT, "-"),
    "trip_to_start": ("λ trip to the branch point", style.MOMENTARY, "-"),
    "half_rate_to_start": ("λ/2 trip to the branch point", style.TRIP, "-"),
    "midpoint_to_start": ("midpoint to the branch point", style.AVERAGE, "-"),
    "midpoint_to_half_rate": ("midpoint to the λ/2 trip", style.AVERAGE, "--"),
}
MODELS = {
    "trip": ("λ trip", style.MOMENTARY),
    "midpoint": ("midpoint of trip and branch point", style.AVERAGE),
    "half_rate": ("λ/2 trip", style.TRIP),
}


def figure_6(distances: pd.DataFrame, losses: pd.DataFrame, share: float) -> Figure:
    """Draw the five distances along the trips, training losses, and how far the midpoint is from the λ/2 trip.

    The limits are a `share` of the mean gain.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(style.WIDE, 4.8))
    start = {**dict.fromkeys(LINES, 0.0), "trip_step": 0}
    at_start = distances[POINT].drop_duplicates().assign(**start)
    whole = pd.concat([at_start, distances], ignore_index=True)
    for column, (label, colour, line) in LINES.items():
        style.curve(left, whole, "trip_step", column, colour, label, line)
    left.set(ylabel="L2 distance", ylim=(0, None), title="distances of weights")
    wide = losses.pivot_table(index=[*POINT, "trip_step"], columns="model", values="loss").reset_index()
    before = wide[wide["trip_step"] == 0].set_index(POINT)["trip"].rename("before")
    wide = wide.join(before, on=POINT)
    for model, (label, colour) in MODELS.items():
        changed = wide.assign(change=wide[model] - wide["before"])
        style.curve(middle, changed, "trip_step", "change", colour, label)
    middle.set(ylabel="change since the branch point (nats)", title="training loss")
    apart = wide.assign(gap=wide["midpoint"] - wide["half_rate"])
    style.curve(right, apart, "trip_step", "gap", style.AVERAGE, "midpoint − λ/2 trip")
    gain = float((wide["trip"] - wide["midpoint"])[wide["trip_step"] > 0].mean())
    told = "¼" if share == 0.25 else f"{share:g}"
    for limit in (-share * gain, share * gain):
        right.axhline(limit, color="black", lw=0.9, ls="--", label=f"limits: {told} of the mean gain")
    right.set(ylabel="difference (nats)", title="their difference")
    for axes in (left, middle, right):
        axes.set(xlabel="steps after the\nbranch point")
        axes.axhline(0.0, color="black", lw=0.8, ls=":")
        once = style.labelled(axes)
        axes.legend(once.values(), once.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize="small")
    return figure


def figure_8(along: pd.DataFrame) -> Figure:
    """Draw the distance of θ_t to the end of an independent trip that left the run at the early branch point."""
    figure, axes = plt.subplots(figsize=(7.4, 3.8))
    for _, seed in along.groupby("seed"):
        axes.plot(seed["step"], seed["distance"], color=style.INDEPENDENT, lw=0.8, alpha=0.45)
    style.curve(axes, along, "step", "distance", style.INDEPENDENT, "mean over seeds; thin: each seed")
    first, last = along["step"].min(), along["step"].max()
    axes.axvspan(last - (last - first) / 3, last, color="black", alpha=0.06, lw=0, label="last third, which is judged")
    axes.set(xlabel="step t of the main trajectory", ylabel="L2 distance of θ$_t$ to the\nend of an independent trip")
    axes.set(ylim=(0, None), xlim=(first, last), title=f"the independent trip left the run at step {first}")
    style.legend_below(figure, axes, columns=2)
    return figure


def draw(tables: Tables, config: Config) -> dict[str, Figure]:
    """The figures of this experiment, by name; Fig. 6 of late branch points alone."""
    distances, losses = (late(tables[name], config.branch.points) for name in ("trip_distances", "trip_losses"))
    found = {"figure_6": figure_6(distances, losses, config.claims.midpoint_tracks_half_rate)}
    return found | ({"figure_8": figure_8(along)} if len(along := to_the_end(tables)) else {})
