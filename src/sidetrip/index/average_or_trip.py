"""Which ends better late in a run, the average of the weights or the side trip: all variants on one picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from sidetrip.index.runs import Run
from sidetrip.report import style
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN
from sidetrip.verdicts.wording import method_words, methods_in_order

KEYS = ["variant", "kernel", "window_steps"]
KEPT = ["variant", "schedule", "kernel", "window_steps", "n", "gap", "gain", "ratio", "ratio_low", "ratio_high"]
KEPT += ["tested_low", "tested_high", "outcome"]
SHARE = 0.25  # of the gain, within which the paper's statement is taken to hold; the outcomes say "a quarter"
UNSURE = "differs, not known whether within a quarter"  # of what is not known, that which is clear of 0
REACH = 0.6  # of the axis, either side; what lies beyond is drawn at the edge, and a bar that goes on has no end
HOLDS = style.HELD_OUT  # a colour that is neither the average's nor the trip's
IN_THE_BAND: dict[str, Any] = {"marker": "o", "mfc": HOLDS, "mec": HOLDS}
UNKNOWN: dict[str, Any] = {"marker": "o", "mfc": "white", "mec": style.MOMENTARY}
LOOKS: dict[str, dict[str, Any]] = {
    **dict.fromkeys((EQUAL, WITHIN), IN_THE_BAND),
    NOT_KNOWN: UNKNOWN,
    DIFFERS: {"marker": "X", "mfc": "black", "mec": "black"},
    UNSURE: UNKNOWN | {"fillstyle": "left", "mfc": style.MOMENTARY, "mfcalt": "white"},
}
SHOWN = {
    **dict.fromkeys((EQUAL, WITHIN), 'shown to be in the band, this project\'s reading of "the same"'),
    NOT_KNOWN: "not known whether in the band, with so few seeds",
    DIFFERS: "shown to be outside",
    UNSURE: "not known whether in the band, yet clear of 0",
}
BESIDE = 0.28  # by which predictions lie lower, of the distance between rows
BESIDE_AXES: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": "x-small"}
PREDICTED: dict[str, Any] = {"marker": "D", "s": 42, "facecolor": "none", "edgecolor": style.OWN, "lw": 1.5}


def percent(share: float) -> str:
    """A share of the gain, with its sign."""
    digits = 0 if abs(share) >= 0.0995 or not share else 1
    return f"{100 * share:+.{digits}f} %".replace("-", "−") if round(share, 3) else "0"


def told_outcome(row: Mapping[Any, Any] | pd.Series) -> str:
    """The outcome of a row; `UNSURE` if the interval is clear of 0, but it is not known whether within a quarter."""
    unsure = row["outcome"] == NOT_KNOWN and row["ratio_low"] * row["ratio_high"] > 0
    return UNSURE if unsure else str(row["outcome"])


def late_in_the_run(
    points: pd.DataFrame, second_order: Mapping[str, pd.DataFrame], behind: Mapping[str, Mapping[str, float]]
) -> pd.DataFrame:
    """What is drawn: of every variant and method the widest window, late branch points together.

    Parameters
    ----------
    points : DataFrame
        Of `verdicts.equivalence_map.map_points`, of all runs.
    second_order : mapping of str to DataFrame
        What the analytic model predicts, by seed; of each run, empty where its curvature was not measured.
    behind : mapping of str to mapping
        Of `index.lag.lags`, by run.

    Returns
    -------
    DataFrame
        variant, schedule, kernel, window_steps, n, gap, gain, ratio with both intervals, and outcome, as in `points`;
        predicted: the ratio that the model predicts, mean over the seeds whose curvature was measured, empty where it
        does not apply; lag: of the average behind its trip ÷ gain. Without points whose gain is not clear of 0: there
        the ratio means nothing.
    """
    late = points[points["late"].astype(bool)]
    widest = late.groupby(["variant", "kernel"])["window_steps"].transform("max")
    found = late.loc[(late["window_steps"] == widest) & late["ratio_low"].notna(), KEPT].reset_index(drop=True)
    lags = [behind.get(row["variant"], {}).get(row["kernel"], np.nan) / row["gain"] for row in found.to_dict("records")]
    known = [table.assign(variant=name) for name, table in second_order.items() if len(table)]
    if not known:
        return found.assign(predicted=np.nan, lag=lags)
    tables = pd.concat(known)
    return found.join(tables.groupby(KEYS)["predicted"].mean(), on=KEYS).assign(lag=lags)


def findings(rows: pd.DataFrame) -> list[str]:
    """What holds at a constant rate, a sentence for each method."""
    rows = rows[rows["schedule"] == "constant"]
    return [_finding(method, rows[rows["kernel"] == method]) for method in methods_in_order(rows["kernel"])]


def relatives(rows: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """How many of the runs at a constant rate share data and network, which makes them no independent tests."""
    there = set(rows.loc[rows["schedule"] == "constant", "variant"])
    alike = Counter(run.subject for run in runs if run.name in there)
    told = [f"{count} are {subject}" for subject, count in alike.items() if count > 1]
    return [f"These runs are no independent tests: {', '.join(told)}."] if told else []


def predictions(rows: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """How near the predictions come, by data, where the model applies: root mean squares over runs and methods."""
    known, told = rows.dropna(subset=["predicted", "lag"]), []
    subjects = {run.name: run.subject.partition(",")[0] for run in runs}
    for data, here in known.groupby(known["variant"].map(subjects)):
        model = here["predicted"]
        misses = (_root_mean_square(here["ratio"] - each) for each in (model, model + here["lag"], 0.0))
        one, with_lag, zero = (percent(each)[1:] for each in misses)
        number = here["variant"].nunique()
        of_runs = f"{number} run{'s' if number > 1 else ''}"
        told.append(f"on {data} ({of_runs}) {one}, with the lag {with_lag}, predicting 0 {zero}")
    if not told:
        return []
    return [
        "Noise parts the two, by what the quadratic model says from the measured curvature. An average also lags "
        "behind the run, by the mean age of its iterates × what a step of the run lowers the loss of averages; on a "
        "quadratic loss a lower rate puts the trip about as far behind, else average − trip is larger by that lag. "
        f"Root mean square of what the model misses, in shares of the gain: {'; '.join(told)}. Nothing in it is "
        "fitted. [What came of it](../docs/regime.md#does-the-average-lag-behind)."
    ]


def _root_mean_square(values: pd.Series) -> float:
    return float((values**2).mean() ** 0.5)


def run_table(rows: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Lines of a Markdown table: (average − trip) ÷ gain of every run and method, with what the model predicts."""
    methods = methods_in_order(rows["kernel"])
    lines = [
        f"| run | {' | '.join(method_words(method).title for method in methods)} |",
        "| --- |" + " --- |" * len(methods),
    ]
    for run in runs:
        here = {row["kernel"]: row for row in rows[rows["variant"] == run.name].to_dict("records")}
        cells = [_cell(here[method], run.seeds) if method in here else "–" for method in methods]
        lines += [f"| {run.label} | {' | '.join(cells)} |"] if here else []
    return lines


def _cell(row: Mapping[Any, Any], seeds: int) -> str:
    """Measured ratio with its interval, what it is a share of, and its outcome; the predicted one, if there is one."""
    fewer = f", {row['n']} seeds" if row["n"] < seeds else ""
    predicted = "" if math.isnan(row["predicted"]) else f", predicted {percent(row['predicted'])}"
    span = f"{percent(row['ratio_low'])} to {percent(row['ratio_high'])}"
    return f"{percent(row['ratio'])} ({span}{predicted}) of {row['gain']:.3f}{fewer}: {told_outcome(row)}"


def _finding(method: str, rows: pd.DataFrame) -> str:
    """The range of a method's ratio, which is clearly better, and in how many runs they are within a quarter."""
    words, n = method_words(method), len(rows)
    holds, differs = rows["outcome"].isin([EQUAL, WITHIN]).sum(), (rows["outcome"] == DIFFERS).sum()
    judged = [f"shown in {holds} of {n} runs"]
    judged += [f"refuted in {differs}"] if differs else []
    judged += [f"not known in {n - holds - differs}"] if n - holds - differs else []
    low, high = percent(rows["ratio"].min()), percent(rows["ratio"].max())
    span = low if low == high else f"{low} to {high}"
    better = {"average": (rows["ratio_high"] < 0).sum(), "trip": (rows["ratio_low"] > 0).sum()}
    clear = [f"the {name} is better in {count}" for name, count in better.items() if count]
    told = f"by intervals clear of 0, {' and '.join(clear)}" if clear else "no interval is clear of 0"
    subject = f"{words.phrase[0].upper()}{words.phrase[1:]} and its trip ({words.schedule})"
    return (
        f"{subject}: average − trip is {span} of the gain; {told}. That the two differ by less than a quarter of the "
        f"gain is {', '.join(judged)}."
    )


def draw(rows: pd.DataFrame, runs: Sequence[Run]) -> Figure:
    """Draw (average − trip) ÷ gain, rows of `late_in_the_run`: a panel for each method, a row for each run."""
    methods = methods_in_order(rows["kernel"])
    labels = {run.name: "\n".join(run.lines) for run in runs if run.name in set(rows["variant"])}
    names = list(labels)
    size = (style.grid(len(methods)), 2.3 + 0.36 * len(names))
    figure, panels = plt.subplots(1, len(methods), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes, method in zip(panels[0], methods, strict=True):
        _panel(axes, rows[rows["kernel"] == method], names)
        words = method_words(method)
        axes.set_title(f"{words.title}\n", fontweight="bold")
        axes.annotate(f"trip: {words.schedule}", (0.5, 1), (0, 5), ha="center", **BESIDE_AXES)
    panels[0][0].set_yticks(range(len(names)), list(labels.values()), fontsize="small")
    panels[0][0].set(ylim=(len(names) - 0.5, -0.5), xlim=(-REACH, REACH))
    title = "Late in a run: does the average of the weights end better, or the trip with a falling rate?"
    figure.suptitle(f"{title}\nvalidation loss, average − trip, in per cent of what averaging gains", fontsize="medium")
    _legend(figure, rows)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """Marks of one method, one for each run, with intervals and predictions."""
    axes.axvspan(-SHARE, SHARE, color=HOLDS, alpha=0.12, lw=0)
    axes.axvline(0.0, color="black", lw=0.8)
    for row in rows.to_dict("records"):
        place, look = names.index(row["variant"]), LOOKS[told_outcome(row)]
        shown, tested = ([row[f"{kind}_low"], row[f"{kind}_high"]] for kind in ("ratio", "tested"))
        axes.plot(shown, [place, place], "|-", color=look["mec"], lw=1, ms=6, mew=1, zorder=2)
        axes.plot(tested, [place, place], color=look["mec"], lw=3.5, solid_capstyle="butt", zorder=2)
        at = float(np.clip(row["ratio"], -REACH, REACH))
        axes.plot(at, place, ls="", mew=1.5, ms=6.5, zorder=3, clip_on=False, **look)
        axes.scatter(np.clip(row["predicted"], -REACH, REACH), place + BESIDE, zorder=4, **PREDICTED)
    axes.xaxis.set_major_locator(FixedLocator([-2 * SHARE, 0, 2 * SHARE]))
    axes.xaxis.set_minor_locator(FixedLocator([-SHARE, SHARE]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    axes.tick_params(axis="x", labelsize="small")
    axes.annotate("← average better", (0, 0), (0, -20), color=style.AVERAGE, ha="left", va="top", **BESIDE_AXES)
    axes.annotate("trip better →", (1, 0), (0, -20), color=style.TRIP, ha="right", va="top", **BESIDE_AXES)


def _legend(figure: Figure, rows: pd.DataFrame) -> None:
    """What the marks that are there, and the band, are."""
    outcomes = {told_outcome(row) for row in rows.to_dict("records")}
    entries: dict[str, Any] = {"band: less than ¼ of the gain": Patch(color=HOLDS, alpha=0.12, lw=0)}
    bars = plt.Line2D([], [], color=style.MOMENTARY, lw=3.5, solid_capstyle="butt")
    entries["intervals: of 90 % thick, of 95 % thin"] = bars
    for outcome, label in SHOWN.items():
        if outcome in outcomes:
            entries[label] = plt.Line2D([], [], color=LOOKS[outcome]["mec"], lw=2, mew=1.6, ms=8, **LOOKS[outcome])
    if rows["predicted"].notna().any():
        diamond = plt.Line2D([], [], ls="", marker="D", mfc="none", mec=style.OWN, mew=1.5, ms=6)
        entries["predicted by the quadratic model"] = diamond
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2, fontsize="small")
