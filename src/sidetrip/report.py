"""Tables, figures and claims to reports/<variant>/README.md, and the index over variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from sidetrip.claims.averages import CONTROLS, average_is_schedule, compared
from sidetrip.claims.single_step import best_steps, paper_setting
from sidetrip.claims.statistics import PAIR, judge_mean
from sidetrip.config import Config
from sidetrip.figures.style import KERNEL_TITLES

ORIGINS = {
    "embedded": "all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository",
    "torchvision": "downloaded by torchvision",
    "folder": "a folder of picture files that is not part of this repository",
}
MARKS = {"reproduced": "yes", "not reproduced": "**no**", "undecided": "undecided", "not measured": "–"}

Claims = list[dict[str, Any]]


def render(config: Config, facts: dict[str, Any], tables: dict[str, pd.DataFrame], claims: Claims) -> str:
    """Markdown of one variant's report."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidetrip", "."), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    verdicts = {row["id"]: row["verdict"] for row in claims}
    return environment.get_template("report.md.j2").render(
        config=config,
        facts=facts,
        claims=claims,
        rows={row["id"]: row for row in claims},
        controls=_controls(config, tables),
        origin=ORIGINS[config.data.source],
        step=_step_facts(config, tables["single_step"]),
        averages=_average_facts(config, tables),
        meaning_step=_meaning_step(verdicts),
        meaning_average=_meaning_average(verdicts),
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
    for kernel, title in KERNEL_TITLES.items():
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
        apart = distances[distances["kernel"] == kernel]
        judged = average_is_schedule(scores, true, config.claims, kernel)
        relative = (apart["average_to_trip"] / apart["trip_to_start"]).mean()
        found.append({"kernel": kernel.replace("_", ", "), "relative_distance": relative, "judged": judged})
    return found


def _accuracy_gap(scores: pd.DataFrame, kernel: str, config: Config) -> dict[str, float]:
    """Average - trip in validation accuracy, with its interval."""
    rows = compared(scores, kernel).xs(("accuracy", "validation"), level=("metric", "split")).dropna()
    found = judge_mean((rows["average"] - rows["trip"]).to_numpy(), config.claims)
    return {"gap": found.value, "gap_low": found.low, "gap_high": found.high}


def _meaning_step(verdicts: dict[str, str]) -> str:
    floor = {
        "reproduced": "One step takes a batch below the loss that the best averaged model of the run reaches",
        "not reproduced": "One step does not take a batch below the loss that the run's best averaged model reaches",
    }.get(
        verdicts["single_step_floor"],
        "Whether one step takes a batch below the best averaged model's loss is undecided",
    )
    gap = {
        "reproduced": "and hardly any of it carries over to other batches: a batch's gradient is mostly its own.",
        "not reproduced": "but more of it carries over to other batches than the criterion allows.",
    }.get(verdicts["single_step_gap"], "and how much of it carries over to other batches is undecided.")
    return f"{floor}, {gap}"


def _meaning_average(verdicts: dict[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for kernel, title in KERNEL_TITLES.items():
        groups.setdefault(verdicts[f"average_is_schedule_{kernel}"], []).append(title)
    texts = {
        "reproduced": "land where their schedule's trip lands, within the criterion on all four scores",
        "not reproduced": "differ from their schedule's trip by more than the criterion allows on at least one score",
        "undecided": "cannot be told from, nor shown equal to, their schedule's trip with this many pairs",
    }
    parts = [f"{' and '.join(groups[v])} {text}" for v, text in texts.items() if v in groups]
    helps = {"reproduced": "Averaging helps in every form.", "not reproduced": "Not every average helps."}
    return f"{helps.get(verdicts['averaging_helps'], 'Whether every average helps is undecided.')} {'; '.join(parts)}."


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
