"""Facts of the section, from the tables."""

import itertools
from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.methods import METHODS, NAMES
from sidetrip.verdicts.records import POINT, Tables
from sidetrip.verdicts.scores import SIGN, TITLES, UNITS, compared, of_score, stretch, widest_window
from sidetrip.verdicts.statistics import by_seed, fieller, late, student_interval
from sidetrip.verdicts.wording import method_words

FORMS = {"loss": {"form": "%.4f", "signed": "%+.4f"}, "accuracy": {"form": "%.2f", "signed": "%+.2f"}}


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows."""
    windows = {method.name: [kernel.steps for kernel in method.kernels(config.side_trips)] for method in METHODS}
    return {
        "equivalences": [f"average_is_schedule_{method}" for method in NAMES],
        "windows": {method_words(name).title: steps for name, steps in windows.items()},
        "averages": average_facts(config, tables),
        "stretch": stretch(config),
        "points": point_rows(tables["by_point"]),
        "controls": control_rows(config, tables),
    }


def average_facts(config: Config, tables: Tables) -> dict[str, Any]:
    """Scores of every method at its widest window over the late branch points, and how many trips diverged."""
    scores = late(tables["side_trips"], config.branch.points)
    rows = []
    for method in NAMES:
        window = widest_window(scores, method)
        table = compared(scores, method, window)
        for metric, split in itertools.product(("loss", "accuracy"), ("validation", "train")):
            title = f"{method_words(method).title}, {window} steps"
            score = {"title": title, "score": f"{TITLES[split]} {metric}", **FORMS[metric]}
            rows.append(score | _score(of_score(table, metric, split), metric, config))
    ends = tables["side_trips"].query("model == 'trip' and split == 'validation' and look == 0")
    return {"rows": rows, "diverged": int(ends["diverged"].sum())}


def _score(table: pd.DataFrame, metric: str, config: Config) -> dict[str, Any]:
    """Means of one score, with the intervals of average − trip and of how far the average is behind ÷ the gain."""
    means = UNITS[metric][1] * table.groupby("seed").mean()
    compared_seeds = means[["gap", "gain"]].dropna()
    gap, gain = compared_seeds["gap"].to_numpy(), compared_seeds["gain"].to_numpy()
    return {
        **{name: float(means[name].mean()) for name in ("momentary", "average", "trip", "gain")},
        "gap": student_interval(gap, config.claims.confidence),
        "ratio": fieller(SIGN[metric] * gap, gain, config.claims.confidence),
    }


def point_rows(by_point: pd.DataFrame) -> list[dict[str, Any]]:
    """Validation loss of every seed and branch point, at the widest window of each method."""
    rows = by_point.query("widest and split == 'validation' and metric == 'loss'")
    shown = rows.assign(title=[method_words(name).title for name in rows["kernel"]])
    return shown.to_dict("records")  # type: ignore[return-value]


def control_rows(config: Config, tables: Tables) -> list[dict[str, Any]]:
    """Averages with the true and with wrong kernels against the trip of the true one: loss and distance."""
    scores = late(tables["side_trips"], config.branch.points)
    found: list[dict[str, Any]] = []
    for method in NAMES:
        wrong = sorted({name for name in scores["kernel"] if name.startswith(f"{method}_")} - set(NAMES))
        kernels = [method, *wrong] if wrong else []
        found += [_control(config, tables, method, kernel) for kernel in kernels]
    return found


def _control(config: Config, tables: Tables, method: str, kernel: str) -> dict[str, Any]:
    """One average against the trip of `method`, at the widest window over the late branch points."""
    scores, distances = (late(tables[name], config.branch.points) for name in ("side_trips", "distances"))
    window, level = widest_window(scores, method), config.claims.confidence
    apart = distances[distances["window_steps"] == window].set_index(POINT)
    here, true = (by_seed(apart.loc[apart["kernel"] == name, "average_to_trip"]) for name in (kernel, method))
    gap = by_seed(of_score(compared(scores, method, window, kernel), "loss", "validation")["gap"])
    changed = "true kernel" if kernel == method else kernel.removeprefix(f"{method}_")
    return {
        "kernel": f"{method_words(method).title}, {changed}",
        "trip": method_words(method).title,
        "gap": student_interval(gap.to_numpy(), level),
        "distance": here.mean(),
        "farther": None if kernel == method else fieller(here.to_numpy(), true.to_numpy(), level),
    }
