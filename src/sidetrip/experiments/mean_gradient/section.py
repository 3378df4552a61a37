"""Facts of the section, from the tables."""

from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.scores import TITLES
from sidetrip.verdicts.statistics import student_interval
from sidetrip.verdicts.wording import method_words, methods_in_order


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows, by split: lifts of the runs, and lifts and gaps of every method."""
    lifts, gaps = tables["mean_gradient_lifts"], tables["mean_gradient_gaps"]

    def shown(rows: pd.DataFrame, column: str, split: str) -> str:
        return _nats(rows.loc[rows["split"] == split, column], config.claims.confidence)

    def of_method(method: str, split: str) -> dict[str, Any]:
        here, apart = lifts[lifts["kernel"] == method], gaps[gaps["kernel"] == method]
        lifted = {model: shown(here[here["model"] == model], "lift", split) for model in ("average", "trip")}
        return lifted | {name: shown(apart, name, split) for name in ("gap_of_weights", "gap_of_gradients", "favour")}

    return {
        "lifted_runs": [
            {"steps": steps, "split": title, "lift": shown(here, "lift", split)}
            for steps, here in lifts[lifts["model"] == "momentary"].groupby("window_steps")
            for split, title in TITLES.items()
        ],
        "mean_gradient": [
            {"title": method_words(method).title, "split": title, **of_method(method, split)}
            for method in methods_in_order(gaps["kernel"])
            for split, title in TITLES.items()
        ],
    }


def _nats(values: pd.Series, confidence: float) -> str:
    """A mean over seeds with its interval."""
    if values.empty:
        return "–"
    found = student_interval(values.to_numpy(float), confidence)
    return f"{found.value:+.4f}" + (f" ({found.low:+.4f} to {found.high:+.4f})" if found.bounded else "")
