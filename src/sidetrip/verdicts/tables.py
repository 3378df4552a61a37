"""Tables that verdicts, figures and report read, computed from those of the experiments."""

from __future__ import annotations

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.equivalence_map import map_points, variant_points
from sidetrip.verdicts.forecast import forecast_line, forecasts
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.scores import by_point
from sidetrip.verdicts.single_step import best_steps, parabolas


def derived(tables: Tables, config: Config) -> dict[str, pd.DataFrame]:
    """The derived tables that a report keeps, by name: those of the experiments that the variant has."""
    found = {
        "by_point": by_point(tables, config),
        "equivalence_map": map_points([variant_points(tables, config)], config.claims),
    }
    if "single_step" not in config.left_out:
        found["best_steps"] = best_steps(tables["single_step"])
        found["parabolas"] = parabolas(tables["single_step"], tables["curvature"])
    if "forecast" not in config.left_out:
        found["forecasts"] = forecasts(tables["cool_downs"], config.claims)
        found["forecast_line"] = forecast_line(tables, config)
    return found
