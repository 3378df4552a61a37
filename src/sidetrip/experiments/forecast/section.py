"""Facts of the section, from the tables."""

from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.forecast.hindsight import covered
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.wording import decay_title


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows."""
    return {"forecast": _forecast(tables, config), "hindsight": _hindsight(tables)}


def _forecast(tables: Tables, config: Config) -> dict[str, Any]:
    """Forecasts by cell, cells whose intervals hold too seldom, and what decays buy."""
    cells = tables["forecast_cells"].assign(title=lambda table: table["decay"].map(decay_title))
    asked = config.claims.forecast_coverage
    given = tables["forecasts"].query("given and metric == 'loss'").dropna(subset=["cool_down"])
    return {
        "rows": cells.to_dict("records"),
        "covered": int(given["covered"].sum()),
        "n": len(given),
        "too_few": cells[cells["covered_high"] < asked].to_dict("records"),
        "low": cells[(cells["covered"] < asked * cells["n"]) & (cells["covered_high"] >= asked)].to_dict("records"),
        "bought": [_bought(int(str(window)), here, config) for window, here in given.groupby("window_steps")],
    }


def _bought(window: int, given: pd.DataFrame, config: Config) -> dict[str, Any]:
    """How many decays over a window were worth their steps: the run at its rate took more for the same loss."""
    left = config.burn_in.steps - given["branch"]
    reached = given["steps_bought"].dropna()
    told = given["steps_at_constant_rate"]
    return {
        "window": window,
        "n": len(given),
        "within": int((reached <= window).sum()),
        "later": int((reached > window).sum()),
        "never": int(given["steps_bought"].isna().sum()),
        "left": (int(left.min()), int(left.max())),
        "forecast_more": int((told.isna() | (told > window)).sum()),
    }


def _hindsight(tables: Tables) -> dict[str, Any]:
    """How far off estimates and their rivals were, by decay, window and spacing; and the estimates of the last step."""
    found = tables["hindsight"].query("metric == 'loss'").dropna(subset=["cool_down"])
    found = found.assign(covered=covered(found))
    rows = []
    for (window, decay, spacing), here in found.groupby(["window_steps", "decay", "spacing_steps"]):
        off = here[["momentary", "merged", "estimate"]].sub(here["cool_down"], axis=0).add_prefix("off_")
        rows.append(
            {
                "window": window,
                "decay": decay,
                "spacing": spacing,
                "title": decay_title(str(decay)),
                "n": len(here),
                **{f"bias_{name}": float(value) for name, value in off.mean().items()},
                **{str(name): float(value) for name, value in off.abs().mean().items()},
                "covered": int(here["covered"].sum()),
            }
        )
    line = tables["hindsight_line"]
    last = line[line["step"] == line["step"].max()].assign(title=lambda table: table["decay"].map(decay_title))
    parted = tables.get("staircases", pd.DataFrame(columns=["decay"]))
    by_metric = [last[last["metric"] == metric].to_dict("records") for metric in ("loss", "accuracy")]
    return {
        "rows": rows,
        "last": list(zip(*by_metric, strict=True)),
        "step": int(line["step"].max()),
        "staircases": parted.assign(title=parted["decay"].map(decay_title)).to_dict("records"),
    }
