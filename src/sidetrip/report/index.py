"""reports/README.md: every variant that has a report, verdicts side by side, and the map over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sidetrip.figures import style
from sidetrip.figures.equivalence_map import draw_map
from sidetrip.files import write_bytes, write_table
from sidetrip.report.render import counts
from sidetrip.verdicts.equivalence_map import EQUIVALENT, NOT_EQUIVALENT
from sidetrip.verdicts.statistics import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, UNDECIDED

MARKS = {REPRODUCED: "yes", NOT_REPRODUCED: "**no**", UNDECIDED: "undecided", NOT_MEASURED: "–"}
MAP = "equivalence_map"
NARROW = 0.1  # window ÷ branch step up to which a point is taken to be in the paper's regime

Rows = Sequence[dict[str, Any]]


def write_index(reports: Path) -> None:
    """Write README.md, and the map as a table and a picture, from the committed reports of all variants."""
    claims = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(reports.glob("*/claims.json"))
    }
    tables = [pd.read_csv(path) for path in sorted(reports.glob(f"*/tables/{MAP}.csv"))]
    points = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    lines = ["# Results", "", *_verdicts(claims)]
    if len(points):
        write_table(points, reports / f"{MAP}.csv")
        style.apply_style()
        style.save_figure(draw_map(points), reports / f"{MAP}.png")
        lines += ["", *_map_section(points)]
    write_bytes(reports / "README.md", ("\n".join(lines) + "\n").encode())


def _verdicts(claims: Mapping[str, Rows]) -> list[str]:
    names = list(claims)
    lines = [
        "One column for each variant; the link leads to its report, with criteria, intervals and regimes in full.",
        "",
        *(f"- [{name}]({name}/README.md): {counts(rows)}" for name, rows in claims.items()),
        "",
        "| statement | source | " + " | ".join(f"[{name}]({name}/README.md)" for name in names) + " |",
        "| --- | --- |" + " --- |" * len(names),
    ]
    by_id = {name: {row["id"]: row for row in rows} for name, rows in claims.items()}
    for row in next(iter(claims.values()), []):
        cells = [_cell(by_id[name].get(row["id"])) for name in names]
        lines.append(f"| {row['statement']} | {row['source']} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Cells: whether the statement was reproduced, and the number that decides it, with the part of the criterion "
        "that it belongs to where there are several; – is not measured, most often because the statement is about "
        "another schedule.",
    ]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["verdict"] == NOT_MEASURED:
        return "–"
    quantity = f" {row['quantity']}" if row.get("quantity") else ""
    part = f"; {row['part']}" if row.get("part") else ""
    return f"{MARKS[row['verdict']]} ({row['value']:.3g}{quantity}{part})"


def _map_section(points: pd.DataFrame) -> list[str]:
    return [
        "## Where averaging replaces decay",
        "",
        f"![Equivalence of averages and trips by window, rate and method]({MAP}.png)",
        "",
        "*Above: each mark is one window at one branch point of one variant, judged over its seeds in validation "
        "loss. Colour: (average − trip) ÷ gain, red where the average is worse than the trip. Dotted: a tenth of the "
        "branch step. Below: average − trip against what the momentary loss falls by over the window. On a quadratic "
        "loss a two-point average keeps a quarter of the fall (dashed), SWA next to nothing.*",
        "",
        _sentence(points, "constant", True),
        _sentence(points, "constant", False),
        f"The numbers: [{MAP}.csv]({MAP}.csv).",
    ]


def _sentence(points: pd.DataFrame, schedule: str, narrow: bool) -> str:
    """How many windows were shown equivalent, refuted and open, at narrow or at wide windows."""
    rows = points[(points["schedule"] == schedule) & ((points["window_over_branch"] <= NARROW) == narrow)]
    shown, refuted = (int((rows["verdict"] == verdict).sum()) for verdict in (EQUIVALENT, NOT_EQUIVALENT))
    where = "up to" if narrow else "above"
    open_points = len(rows) - shown - refuted
    return (
        f"At a constant rate and windows {where} {100 * NARROW:g} % of the branch step, average and trip are shown "
        f"equal at {shown} of {len(rows)} points and shown different at {refuted}; {open_points} do not decide."
    )
