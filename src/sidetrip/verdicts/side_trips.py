"""Statements about averages and the trips with their schedules (Table 1, Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.divergence import CONSTANT_ALONE
from sidetrip.verdicts.statistics import (
    POINT,
    Judged,
    Measured,
    NotMeasured,
    Table,
    Tables,
    all_of,
    by_seed,
    failed,
    judge_equal,
    judge_mean,
    judge_within,
    late,
)

SPLITS, METRICS = ("train", "validation"), ("accuracy", "loss")
SIGN = {"loss": 1.0, "accuracy": -1.0}  # momentary - average is a gain in loss; in accuracy it is the other way
UNITS = {"loss": ("nats", 1.0), "accuracy": ("points", 100.0)}
TITLES = {"train": "training", "validation": "validation"}


def widest_window(side_trips: Table, method: str) -> int:
    """Steps of the widest window of a method."""
    return int(side_trips.loc[side_trips["kernel"] == method, "window_steps"].max())


def compared(side_trips: Table, method: str, window: int, average: str | None = None) -> Table:
    """Scores of momentary model, average and trip at a window of a method.

    Parameters
    ----------
    side_trips : DataFrame
        The scores.
    method : str
        Whose trip, and whose average unless `average` names another kernel of the same window.
    window : int
        In steps.

    Returns
    -------
    DataFrame
        Indexed by metric, split, seed, branch; momentary, average, trip: means over the looks; fall (of the momentary
        score over the window, positive where it improves), gain (of the average over the momentary model, positive
        where it is better), gap (average − trip), sd_of_one_iterate (of the momentary score over the looks).
    """
    source = {"momentary": "none", "average": average or method, "trip": method}
    rows = side_trips[side_trips["split"].isin(SPLITS)]
    here = rows[(rows["kernel"] == rows["model"].map(source)) & (rows["window_steps"] == window)]
    start = rows[(rows["model"] == "momentary") & (rows["window_steps"] == 0)]
    long = here.melt([*POINT, "model", "look", "split"], list(METRICS), var_name="metric", value_name="score")
    keys = ["metric", "split", *POINT]
    # One look without a score leaves the whole score open.
    means = long.groupby([*keys, "model"])["score"].agg(lambda scores: scores.mean(skipna=False)).reset_index()
    by_model = means.pivot(index=keys, columns="model", values="score")  # noqa: PD010 - keeps what has no number
    spread = long[long["model"] == "momentary"].groupby(keys)["score"].std()
    began = (
        start.melt([*POINT, "split"], list(METRICS), var_name="metric", value_name="score")
        .groupby(keys)["score"]
        .mean()
    )
    sign = by_model.index.get_level_values("metric").map(SIGN).to_numpy(float)
    return by_model.assign(
        fall=sign * (began.reindex(by_model.index) - by_model["momentary"]),
        gain=sign * (by_model["momentary"] - by_model["average"]),
        gap=by_model["average"] - by_model["trip"],
        sd_of_one_iterate=spread,
    )


def of_score(scores: Table, metric: str, split: str) -> Table:
    """Rows of `compared` of one metric and split, by seed and branch point."""
    found = scores.xs((metric, split), level=("metric", "split"))
    assert isinstance(found, pd.DataFrame)
    return found


def _part(scores: Table, true: Table, metric: str, split: str, config: Config) -> Measured:
    here, reference = of_score(scores, metric, split), of_score(true, metric, split)
    kept = here["gap"].notna() & reference["gain"].notna()
    gap, gain = by_seed(here["gap"][kept]).to_numpy(), by_seed(reference["gain"][kept]).to_numpy()
    quantity, scale = UNITS[metric]
    judged = judge_equal(scale * gap, scale * gain, config.claims.average_is_schedule, config.claims)
    sd = scale * reference["sd_of_one_iterate"].mean()
    detail = f"gain {scale * gain.mean():.3g} {quantity}, SD of one iterate {sd:.2g} {quantity}"
    return replace(judged, quantity=quantity, detail=detail)


def average_is_schedule(side_trips: Table, method: str, config: Config, average: str | None = None) -> Measured:
    """Judge whether average and trip are equal within a share of the gain, in loss and accuracy, on both splits.

    `average` puts another kernel's average in the place of the true one (negative controls). A trip that
    diverged is not equivalent to anything.
    """
    window = widest_window(side_trips, method)
    rows = late(side_trips, config.branch.points)
    true, scores = compared(rows, method, window), compared(rows, method, window, average)
    parts = {
        f"{TITLES[split]} {metric}": _part(scores, true, metric, split, config)
        for metric, split in itertools.product(METRICS, SPLITS)
    }
    found = all_of(parts, config.claims.level)
    return failed(found, "a trip diverged") if scores["gap"].isna().any() else found


def _helps(side_trips: Table, config: Config) -> Measured:
    parts, rows = {}, late(side_trips, config.branch.points)
    for method in METHODS:
        scores = of_score(compared(rows, method.name, widest_window(rows, method.name)), "loss", "validation")
        judged = judge_mean(by_seed(scores["gain"]).to_numpy(), config.claims, above=0.0)
        parts[method.title] = replace(judged, quantity="nats")
    return all_of(parts, config.claims.level)


def _cosine(side_trips: Table, config: Config) -> Measured:
    """SWA within absolute margins: a gain within the noise leaves no share of it."""
    rows = late(side_trips, config.branch.points)
    scores, parts = compared(rows, "swa", widest_window(rows, "swa")), {}
    margins = {"loss": config.claims.cosine_run_loss, "accuracy": config.claims.cosine_run_accuracy}
    for metric, split in itertools.product(METRICS, SPLITS):
        here = of_score(scores, metric, split).dropna(subset=["gap"])
        gap, gain = by_seed(here["gap"]).to_numpy(), by_seed(here["gain"]).to_numpy()
        quantity, scale = UNITS[metric]
        margin = np.full(len(gap), scale * margins[metric])
        judged = judge_within(scale * gap, margin, config.claims, scale * gain)
        parts[f"{TITLES[split]} {metric}"] = replace(judged, quantity=quantity)
    found = all_of(parts, config.claims.level)
    return failed(found, "a trip diverged") if scores["gap"].isna().any() else found


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows average_is_schedule_*, averaging_helps (constant rate alone) and cosine_run (a cosine alone)."""
    side_trips, constant = tables["side_trips"], config.burn_in.schedule == "constant"
    results: dict[str, Measured | NotMeasured] = {}
    for method in METHODS:
        name = f"average_is_schedule_{method.name}"
        results[name] = (
            average_is_schedule(side_trips, method.name, config) if constant else NotMeasured(CONSTANT_ALONE)
        )
    results["averaging_helps"] = _helps(side_trips, config) if constant else NotMeasured(CONSTANT_ALONE)
    cosine = config.burn_in.schedule == "cosine"
    reason = "the main schedule of this variant is not a cosine; fashion_mnist_cosine measures it"
    results["cosine_run"] = _cosine(side_trips, config) if cosine else NotMeasured(reason)
    return results


def by_point(tables: Tables, config: Config) -> Table:
    """What stands behind the averaging rows, for every seed, branch point, method, window, split and metric.

    Returns
    -------
    DataFrame
        seed, branch, late, kernel, window_steps, split, metric, momentary, average, trip, fall, gain,
        average_minus_trip, sd_of_one_iterate; accuracies as shares of the pictures, losses in nats.
    """
    side_trips, found = tables["side_trips"], []
    for method in METHODS:
        for window in sorted(side_trips.loc[side_trips["kernel"] == method.name, "window_steps"].unique()):
            rows = compared(side_trips, method.name, int(window)).reset_index().rename_axis(columns=None)
            found.append(rows.assign(kernel=method.name, window_steps=int(window)))
    table = pd.concat(found).rename(columns={"gap": "average_minus_trip"})
    table["late"] = table["branch"].isin(config.branch.points)
    scores = ["momentary", "average", "trip", "fall", "gain", "average_minus_trip", "sd_of_one_iterate"]
    return table[[*POINT, "late", "kernel", "window_steps", "split", "metric", *scores]].reset_index(drop=True)


def regimes(tables: Tables, config: Config) -> dict[str, Mapping[str, float]]:
    """Window ÷ branch step and fall ÷ gain (validation loss) of each method at its widest window, over late points."""
    rows = late(tables["side_trips"], config.branch.points)
    found: dict[str, Mapping[str, float]] = {}
    for method in METHODS:
        window = widest_window(rows, method.name)
        scores = of_score(compared(rows, method.name, window), "loss", "validation")
        gain = scores["gain"].mean()
        found[method.name] = {
            "window_over_branch": window / min(config.branch.points) if min(config.branch.points) else float("inf"),
            "fall_over_gain": float(scores["fall"].mean() / gain) if gain > 0 else float("nan"),
        }
    return found
