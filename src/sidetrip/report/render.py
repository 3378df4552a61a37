"""Tables, figures and claims to reports/<variant>/README.md, and the index over variants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from sidetrip.config import Config
from sidetrip.data.packed import Facts
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.side_trips import CONTROLS, average_is_schedule, compared
from sidetrip.verdicts.single_step import best_steps, paper_setting
from sidetrip.verdicts.statements import MEANINGS
from sidetrip.verdicts.statistics import NOT_REPRODUCED, PAIR, REPRODUCED, UNDECIDED, judge_mean, judge_ratio

ORIGINS = {
    "embedded": "all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository",
    "torchvision": "downloaded by torchvision",
    "folder": "a folder of picture files that is not part of this repository",
}
DECIDED = (REPRODUCED, NOT_REPRODUCED)
MARKS = {"reproduced": "yes", "not reproduced": "**no**", "undecided": "undecided", "not measured": "–"}

Claims = list[dict[str, Any]]


@dataclass(frozen=True)
class Origin:
    """What a report was made with.

    Attributes
    ----------
    code, settings : str
        Digests.
    software : list
        Versions and hardware, each with the stages that computed with them.
    """

    code: str
    settings: str
    software: list[tuple[dict[str, str], list[str]]]


def render(
    config: Config,
    facts: Facts,
    tables: dict[str, pd.DataFrame],
    claims: Claims,
    provenance: Origin,
) -> str:
    """Markdown of one variant's report."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidetrip.report", "."),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.j2").render(
        config=config,
        facts=facts,
        provenance=provenance,
        claims=claims,
        rows={row["id"]: row for row in claims},
        controls=_controls(config, tables),
        origin=ORIGINS[config.data.source],
        step=_step_facts(config, tables["single_step"]),
        averages=_average_facts(config, tables),
        meaning=partial(meaning, claims),
    )


def _step_facts(config: Config, single_step: pd.DataFrame) -> dict[str, Any]:
    size = min(config.single_step.batch_sizes)
    best = best_steps(paper_setting(single_step)).query("batch_size == @size")
    own, held = (best[best["batch"] == kind].set_index(PAIR) for kind in ("own", "held_out"))
    return {
        "n": len(own),
        "batch_size": size,
        "own_start": own["start"].mean(),
        "own_lowest": own["lowest"].mean(),
        "held_start": held["start"].mean(),
        "held_lowest": held["lowest"].mean(),
        "rate_ratio": (held["best_step_size"] / own["best_step_size"]).mean(),
    }


def _average_facts(config: Config, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    scores, distances, rows = tables["side_trips"], tables["distances"], []
    for kernel, title in ((method.name, method.title) for method in METHODS):
        means = compared(scores, kernel).groupby(["metric", "split"]).mean()
        widest = distances[distances["kernel"] == kernel].pipe(
            lambda d: d[d["window_steps"] == d["window_steps"].max()]
        )
        row = {
            f"{metric}_{model}": means.loc[(metric, "validation"), model]
            for metric in ("loss", "accuracy")
            for model in ("momentary", "average", "trip")
        }
        window = scores.loc[scores["kernel"] == kernel, "window_steps"].max()
        relative = (widest["average_to_trip"] / widest["trip_to_start"]).mean()
        row |= _accuracy_gap(scores, kernel, config)
        rows.append(row | {"title": f"{title}, {window} steps", "relative_distance": relative})
    diverged = int(scores.query("model == 'trip' and split == 'validation'")["diverged"].sum())
    return {"rows": rows, "n": len(config.seeds) * len(config.branch.points), "diverged": diverged}


def _controls(config: Config, tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Averages with a wrong kernel against the trip of the true one, beside the true kernel itself."""
    scores, distances = tables["side_trips"], tables["distances"]
    found = []
    for kernel, true in ({true: true for true in CONTROLS.values()} | CONTROLS).items():
        apart, right = (distances[distances["kernel"] == name].set_index(PAIR) for name in (kernel, true))
        right = right[right["window_steps"] == right["window_steps"].max()]
        pairs = apart[["average_to_trip"]].join(right[["average_to_trip"]], rsuffix="_true", how="inner")
        farther = judge_ratio(
            pairs["average_to_trip"].to_numpy(), pairs["average_to_trip_true"].to_numpy(), config.claims, above=1.0
        )
        found.append(
            {
                "kernel": kernel.replace("_", ", "),
                "relative_distance": (apart["average_to_trip"] / apart["trip_to_start"]).mean(),
                "farther": None if kernel == true else farther,
                "judged": average_is_schedule(scores, true, config.claims, kernel),
            }
        )
    return found


def _accuracy_gap(scores: pd.DataFrame, kernel: str, config: Config) -> dict[str, float]:
    """Average - trip in validation accuracy, with its interval."""
    rows = compared(scores, kernel).xs(("accuracy", "validation"), level=("metric", "split")).dropna()
    found = judge_mean((rows["average"] - rows["trip"]).to_numpy(), config.claims)
    return {"gap": found.value, "gap_low": found.low, "gap_high": found.high}


def meaning(claims: Claims, ids: Sequence[str]) -> str:
    """What the verdicts on some statements mean, a sentence each; what is undecided at the end."""
    verdicts = {row["id"]: row["verdict"] for row in claims}
    sentences = [MEANINGS[name][verdicts[name] == NOT_REPRODUCED] for name in ids if verdicts[name] in DECIDED]
    unsure = [row["statement"] for row in claims if row["id"] in ids and row["verdict"] == UNDECIDED]
    if unsure:
        sentences.append(f"Undecided with this many pairs: {'; '.join(unsure)}.")
    return " ".join(sentences)


def render_index(reports: Path) -> str:
    """Markdown of reports/README.md: every variant that has a report, verdicts side by side."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(reports.glob("*/claims.json"))}
    names = list(found)
    lines = [
        "# Results",
        "",
        "One column a variant; the link leads to its report. Statements and criteria: each report's table of verdicts.",
        "",
        "| statement | source | " + " | ".join(f"[{name}]({name}/README.md)" for name in names) + " |",
        "| --- | --- |" + " --- |" * len(names),
    ]
    by_id = {name: {row["id"]: row for row in rows} for name, rows in found.items()}
    for row in next(iter(found.values()), []):
        cells = [_cell(by_id[name].get(row["id"])) for name in names]
        lines.append(f"| {row['statement']} | {row['source']} | {' | '.join(cells)} |")
    pictures = [
        f"### {name}\n\n![Two-point averages and side trips, {name}]({name}/figures/figure_10.png)\n"
        for name in names
        if (reports / name / "figures" / "figure_10.png").exists()
    ]
    gallery = ["", "## Two-point averaging across the variants (Fig. 10)", "", *pictures] if pictures else []
    return "\n".join(
        [*lines, "", "Cells: reproduced (yes, no, undecided) and the measured value; – is not measured.", *gallery, ""]
    )


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["verdict"] == "not measured":
        return "–"
    return f"{MARKS[row['verdict']]} ({row['value']:.3g})"
