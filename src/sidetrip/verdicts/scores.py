"""Scores of momentary model, average and trip side by side: what all averaging rows rest on."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import POINT, Table, Tables
from sidetrip.verdicts.statistics import late

SPLITS, METRICS = ("train", "validation"), ("accuracy", "loss")
SIGN = {"loss": 1.0, "accuracy": -1.0}  # momentary - average is a gain in loss; in accuracy it is the other way
UNITS = {"loss": ("nats", 1.0), "accuracy": ("points", 100.0)}
TITLES = {"train": "training", "validation": "validation"}
SCORES = ["momentary", "average", "trip", "fall", "gain", "average_minus_trip", "sd_of_one_iterate"]


def first_shown(config: Config) -> int:
    """Step from which on figures show a run: the first, steep part of it would flatten all that follows."""
    early = config.branch.early if config.branch.early_seeds else ()
    return min([*early, config.branch.points[0] // 2])


def stretch(config: Config) -> int:
    """Steps of a run whose looks at the momentary model are one mean in a figure; at least three such stretches."""
    return min(config.side_trips.every, (config.burn_in.steps - first_shown(config)) // 3)


def widest_window(side_trips: Table, method: str) -> int:
    """Steps of the widest window of a method."""
    return int(side_trips.loc[side_trips["kernel"] == method, "window_steps"].max())


def compared(side_trips: Table, method: str, window: int, average: str | None = None) -> Table:
    """Scores of momentary model, average and trip at a window of a method, in steps.

    The average is that of the method, unless `average` names another kernel of the same window.

    Returns
    -------
    DataFrame
        Indexed by metric, split, seed, branch; average, trip: where the kernel ends; momentary: mean over its looks;
        fall (of the momentary score over the window, positive where it improves), gain (of the average over the
        momentary model, positive where it is better), gap (average − trip), sd_of_one_iterate (of the momentary
        score over the looks).
        A trip that diverged has no score.
    """
    source = {"momentary": "none", "average": average or method, "trip": method}
    rows = side_trips[side_trips["split"].isin(SPLITS)]
    here = rows[(rows["kernel"] == rows["model"].map(source)) & (rows["window_steps"] == window)]
    start = rows[(rows["model"] == "momentary") & (rows["window_steps"] == 0)]
    keys = ["metric", "split", *POINT]
    long, began = (
        part.melt([*POINT, "model", "look", "split"], list(METRICS), var_name="metric", value_name="score")
        for part in (here, start)
    )
    # One look without a score leaves the whole score open.
    means = long.groupby([*keys, "model"])["score"].mean(skipna=False).reset_index()
    by_model = means.pivot(index=keys, columns="model", values="score")  # noqa: PD010 - keeps what has no number
    spread = long[long["model"] == "momentary"].groupby(keys)["score"].std()
    sign = by_model.index.get_level_values("metric").map(SIGN).to_numpy(float)
    return by_model.assign(
        fall=sign * (began.groupby(keys)["score"].mean().reindex(by_model.index) - by_model["momentary"]),
        gain=sign * (by_model["momentary"] - by_model["average"]),
        gap=by_model["average"] - by_model["trip"],
        sd_of_one_iterate=spread,
    )


def late_scores(side_trips: Table, config: Config, method: str) -> tuple[int, Table]:
    """The widest window of a method, in steps, and what `compared` has of it at late branch points."""
    rows = late(side_trips, config.branch.points)
    window = widest_window(rows, method)
    return window, compared(rows, method, window)


def of_score(scores: Table, metric: str, split: str) -> Table:
    """Rows of `compared` of one metric and split, by seed and branch point."""
    found = scores.xs((metric, split), level=("metric", "split"))
    assert isinstance(found, pd.DataFrame)
    return found


def at_widest(points: Table, method: str) -> Table:
    """What `compared` has of a method's widest window at late branch points, from a table of `by_point`."""
    rows = points[points["late"] & points["widest"] & (points["kernel"] == method)]
    return rows.rename(columns={"average_minus_trip": "gap"}).set_index(["metric", "split", *POINT])


def by_point(tables: Tables, config: Config, methods: Iterable[str]) -> Table:
    """What stands behind the averaging rows, for every seed, branch point, method, window, split and metric.

    Returns
    -------
    DataFrame
        seed, branch, late (bool), kernel, window_steps, widest (bool: the widest window of the method, which is
        judged), split, metric, momentary, average, trip, fall, gain, average_minus_trip, sd_of_one_iterate;
        accuracies as shares of the pictures, losses in nats.
    """
    side_trips, found = tables["side_trips"], []
    for method in methods:
        windows = sorted(side_trips.loc[side_trips["kernel"] == method, "window_steps"].unique())
        for window in map(int, windows):
            rows = compared(side_trips, method, window).reset_index().rename_axis(columns=None)
            found.append(rows.assign(kernel=method, window_steps=window, widest=window == windows[-1]))
    table = pd.concat(found).rename(columns={"gap": "average_minus_trip"})
    table["late"] = table["branch"].isin(config.branch.points)
    keys = [*POINT, "late", "kernel", "window_steps", "widest", "split", "metric"]
    return table[[*keys, *SCORES]].reset_index(drop=True)
