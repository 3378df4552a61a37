"""How good sealed forecasts were, over all variants, by shape and length of the decay and spacing of the snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.loss_forecast import CONFIDENCE
from sidetrip.verdicts.wording import decay_title

HEAD = (
    *("variant", "decay", "over", "of the run", "snapshots every", "correction", "within", "error", "bias"),
    *("merged + drift", "power law", "as it is"),
)


def forecasts(reports: Path, configs: Mapping[str, Config]) -> list[str]:
    """The section: one line for each kind of forecast of each variant; none without forecasts."""
    rows = []
    for name, config in configs.items():
        path = reports / name / "tables" / "forecast_cells.csv"
        if path.is_file():
            rows += [_line(name, row, config.burn_in.steps) for row in pd.read_csv(path).to_dict("records")]
    if not rows:
        return []
    return [
        "",
        "## Forecasts, by kind",
        "",
        f"Each kind of sealed forecast: how many cool-downs ended within its {100 * CONFIDENCE:g} % interval, with "
        "the interval of that share (of 95 %, as if cool-downs were independent, which those of one run are not), and "
        "errors in nats: root of the mean square, and the mean (above 0: too high). Beside it, over the same decays: "
        "the merged loss with its drift alone, the multi-power law (only where three cool-downs of the run had ended), "
        "and the run as it is.",
        "",
        f"| {' | '.join(HEAD)} |",
        "| --- | --- |" + " ---: |" * 3 + " --- |" + " ---: |" * 6,
        *rows,
    ]


def _line(variant: str, row: Mapping[Any, Any], steps: int) -> str:
    over = row["window_steps"]
    share = f"{row['covered_low']:.2f} to {row['covered_high']:.2f}"
    law = f"{row['error_power_law']:.4f}" if row["n_power_law"] else "–"
    cells = [
        *(f"[{variant}]({variant}/README.md)", decay_title(row["decay"]), f"{over} steps"),
        *(f"{100 * over / steps:.0f} %", f"{row['spacing_steps']} steps", row["correction"]),
        *(f"{row['covered']} of {row['n']}, {share}", f"{row['error']:.4f}", f"{row['bias']:+.4f}"),
        *(f"{row['error_drifted']:.4f}", law, f"{row['error_momentary']:.4f}"),
    ]
    return f"| {' | '.join(map(str, cells))} |"
