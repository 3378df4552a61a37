"""Facts of the section, from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.forecast.verdict import errors
from sidetrip.verdicts.wording import decay_title


def facts(tables: Mapping[str, pd.DataFrame], config: Config) -> dict[str, Any]:
    """What the section shows."""
    return {"forecast": forecast_facts(tables)}


def forecast_facts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """How far off forecasts and their rivals were, by decay, window and spacing; and the forecasts of the last step."""
    found = errors(tables["forecasts"]).query("metric == 'loss'").dropna(subset=["cool_down"])
    rows = []
    for key, here in found.groupby(["window_steps", "decay", "spacing_steps"]):
        off = here[["off_momentary", "off_merged", "off_forecast"]]
        rows.append(
            {
                **dict(zip(("window", "decay", "spacing"), key, strict=True)),
                "title": decay_title(str(key[1])),  # type: ignore[index]
                "n": len(here),
                **{f"bias_{name}": float(value) for name, value in off.mean().items()},
                **{str(name): float(value) for name, value in off.abs().mean().items()},
                "covered": int(here["covered"].sum()),
            }
        )
    line = tables["forecast_line"]
    last = line[line["step"] == line["step"].max()].assign(title=lambda table: table["decay"].map(decay_title))
    by_metric = {metric: last[last["metric"] == metric].to_dict("records") for metric in ("loss", "accuracy")}
    return {
        "rows": rows,
        "last": list(zip(by_metric["loss"], by_metric["accuracy"], strict=True)),
        "step": int(line["step"].max()),
    }
