"""reports/README.md: what was found, the verdicts of all runs side by side, the map, and what is not known."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from sidetrip.config import Config
from sidetrip.files import write_bytes
from sidetrip.index.average_or_trip import draw as draw_late
from sidetrip.index.average_or_trip import findings, late_in_the_run, predictions, relatives, run_table
from sidetrip.index.equivalence_map import draw_map
from sidetrip.index.forecasts import forecasts
from sidetrip.index.lag import lags
from sidetrip.index.pooled import Row, Rows, rows_of
from sidetrip.index.runs import Run, gathered, read_settings, runs_in_order
from sidetrip.report import style
from sidetrip.report.render import EQUIVALENCE, counts, of_the_paper
from sidetrip.tables import write_table
from sidetrip.verdicts.equivalence_map import COLUMNS, map_points
from sidetrip.verdicts.records import (
    DIFFERS,
    NOT_KNOWN,
    NOT_MEASURED,
    NOT_REPRODUCED,
    OUTCOMES,
    REPRODUCED,
    SEEDS,
    UNDECIDED,
)
from sidetrip.verdicts.wording import OURS, method_words, methods_in_order

NOTHING = "–"
MARKS = {REPRODUCED: "yes", NOT_REPRODUCED: "**no**", UNDECIDED: "undecided"}
FIRST = "average_or_trip"
ALL_SCORES = "in_all_scores"
MAP = "equivalence_map"
FORECAST = "shakespeare/figures/forecast.png"  # of the variant that is nearest to how language models are trained
BY_MORE = "differs by more"  # than a quarter
NARROW = 0.1  # window ÷ branch step up to which a point is taken to be in the paper's regime

REGIME = {
    "rate_over_batch": "λ ÷ batch size {:.1e}",
    "window_over_branch": "widest SWA window {:.1%} of the first late branch step",
    "fall_over_gain": "its fall ÷ gain {:.2g}",
}


@dataclass(frozen=True)
class Results:
    """What the committed reports of all variants say together."""

    reports: Path  # their folder
    configs: Mapping[str, Config]  # by variant
    claims: Mapping[str, Sequence[Row]]  # rows of claims.json, by variant
    runs: Sequence[Run]  # in the order in which they are shown
    rows: Mapping[str, Rows]  # of `pooled.rows_of`, by run
    points: pd.DataFrame  # of the map, all runs; empty without trips
    late: pd.DataFrame  # of `late_in_the_run`, with the verdict on loss and accuracy, on both splits, at once

    def verdict_in_all_scores(self, run: str, method: str) -> str:
        """Of average and trip, as the paper states it."""
        rows = self.rows[run].get(f"{EQUIVALENCE}{method}", {})  # a report that is older than a method has no such row
        return next((str(row["verdict"]) for row in rows.values()), NOT_MEASURED)


def read_reports(reports: Path, base: DictConfig) -> Results:
    """Read them, and judge runs that differ in their seeds alone as one; `base` has what older ones lack."""
    claims = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(reports.glob("*/claims.json"))
    }
    configs = {name: read_settings(reports / name / "config.yaml", base) for name in claims}
    runs = runs_in_order(configs.values())
    tables = {run.name: gathered(reports, run.variants) for run in runs}
    maps, second_order, behind = [], {}, {}
    for run in runs:
        here = tables[run.name]
        if "by_point" in here:
            maps.append(map_points(here["by_point"], here["batch_losses"], run.config))
            behind[run.name] = lags(here["by_point"], run.config)
        if "second_order" in here:
            second_order[run.name] = here["second_order"]
    points = pd.concat(maps, ignore_index=True) if maps else pd.DataFrame(columns=COLUMNS)
    late = late_in_the_run(points, second_order, behind)
    rows = {run.name: rows_of(reports, run, tables[run.name], claims, configs) for run in runs}
    results = Results(reports, configs, claims, runs, rows, points, late)
    late[ALL_SCORES] = [results.verdict_in_all_scores(row["variant"], row["kernel"]) for row in late.to_dict("records")]
    return results


def write_index(reports: Path, base: DictConfig) -> None:
    """Write README.md, and what it shows as tables and pictures, from the committed reports of all variants.

    A setting that a report lacks, since it is older, is read from `base` of params.yaml.
    """
    results = read_reports(reports, base)
    style.apply_style()
    if len(results.late):
        write_table(results.late, reports / f"{FIRST}.csv")
        style.save_figure(draw_late(results.late, results.runs), reports / f"{FIRST}.png")
    if len(results.points):
        write_table(results.points, reports / f"{MAP}.csv")
        style.save_figure(draw_map(results.points), reports / f"{MAP}.png")
    write_bytes(reports / "README.md", page(results).encode())


def page(results: Results) -> str:
    """The page in Markdown."""
    lines = ["# Results", "", *(_first_screen(results) if len(results.late) else [])]
    lines += [*_verdicts(results), *_analytic(results)]
    lines += ["", *_map_section(results.points)] if len(results.points) else []
    lines += [*forecasts(results.reports, results.configs), "", *_not_known(results)]
    return "\n".join(lines) + "\n"


def _first_screen(results: Results) -> list[str]:
    """What was found late in a run, in sentences and as a picture with its table."""
    reports, rows, runs = results.reports, results.late, results.runs
    sentences = [*findings(rows), _in_all_scores(results), *predictions(rows, runs), *relatives(rows, runs)]
    forecast = [
        "",
        "If the rate begins to decay now, where will the loss end? Forecasts were sealed before the decays ran:",
        "",
        f"![Forecasts of a decay, and what the decay gave]({FORECAST})",
        "",
        "*A transformer on text. Left: forecasts (rings, 90 % intervals), each made where a dotted line begins, and "
        "what the decay gave (crosses). Right: errors of all kinds of forecast. "
        f"[More]({Path(FORECAST).parent.parent}/README.md#if-the-rate-begins-to-decay-now-what-will-the-run-have).*",
    ]
    return [
        "An average of the weights of a run costs almost nothing. A *trip* leaves the run where the window of the "
        "average begins, takes the same batches and lowers the learning rate by the schedule that belongs to the "
        "average. The paper says that both end alike. What was found late in runs at a constant rate, at the widest "
        "window of each method, in validation loss, is below. The *gain* is how much better the average is than the "
        "run's own weights, which are called *momentary*; a *cool-down* is a decay that was really run to its end; "
        "*merged* snapshots are an average of the few iterates that were kept.",
        "",
        *(f"- {sentence}" for sentence in sentences),
        "",
        f"![Late in a run: does the average end better, or the trip?]({FIRST}.png)",
        "",
        "*(average − trip) ÷ gain. Intervals are over seeds; variants that differ in their seeds alone, in all that "
        "these averages and trips depend on, are one run ([which were added when](../docs/regime.md"
        "#more-seeds-for-the-map)). The thick bar, of 90 %, is what two one-sided tests of 5 % amount to: that the two "
        "differ by less than a quarter in this loss is shown where all of it lies in the band. The thin one, of 95 %, "
        "tells whether they differ. A bar without an end goes on. Runs whose rate falls along a cosine stand last, and "
        f"are not counted above. The numbers: [{FIRST}.csv]({FIRST}.csv).*",
        "",
        "The same in numbers: average − trip in per cent of the gain, with its interval of 95 % and what the quadratic "
        "model predicts, where the curvature was measured (mean over the seeds in which it was); the gain in nats; "
        "what was shown, by the interval of 90 %. –: the gain is not clear of 0.",
        "",
        *run_table(rows, runs),
        *(forecast if (reports / FORECAST).is_file() else []),
        "",
        "## Statements of the paper, by run",
        "",
    ]


def _in_all_scores(results: Results) -> str:
    """In how many runs at a constant rate the statements hold as the paper has them, in every score."""
    runs = [run for run in results.runs if run.config.burn_in.schedule == "constant"]
    there = results.late[results.late["variant"].isin([run.name for run in runs])]
    told = []
    for method in methods_in_order(there["kernel"]):
        verdicts = [results.verdict_in_all_scores(run.name, method) for run in runs]
        refuted, known = verdicts.count(NOT_REPRODUCED), len(runs) - verdicts.count(NOT_MEASURED)
        beside = f", refuted in {refuted}" if refuted else ""
        told.append(f"{method_words(method).phrase} in {verdicts.count(REPRODUCED)} of {known}{beside}")
    return (
        "The paper speaks of accuracy and loss. In all four scores, loss and accuracy on training and validation data, "
        f"it is shown for {'; '.join(told)}; else it is not known."
    )


def _verdicts(results: Results) -> list[str]:
    firsts = {run.name: _firsts(results.rows[run.name]) for run in results.runs}
    stated = {row["id"]: row for rows in firsts.values() for row in rows if not row["analytic"]}

    def table(rows: Sequence[Row]) -> Iterator[str]:
        yield f"| statement | source | {' | '.join(run.links for run in results.runs)} |"
        yield "| --- | --- |" + " --- |" * len(results.runs)
        for row in rows:
            cells = (_cells(results.rows[run.name].get(row["id"], {}), run) for run in results.runs)
            yield f"| {row['statement']} | {row['source']} | {' | '.join(cells)} |"

    return [
        "Links lead to reports, with criteria, intervals and regimes in full; there each variant is judged by its own "
        "seeds. Here variants whose averages and trips differ in their seeds alone are one run, judged by the seeds of "
        "all that measured the same; where these are fewer than the run has, the cell says so. More seeds were added "
        "when the verdicts of the first were known; when and why, and what the new ones say alone: [first]"
        "(../docs/regime.md#more-seeds-for-the-map), [then](../docs/regime.md#more-seeds-once-more), "
        "[last](../docs/regime.md#twenty-further-seeds-of-the-default). Forecasts, whose "
        "law was chosen with the first seeds, and what was measured with other settings are judged apart: such cells "
        "name the variants.",
        "",
        *(f"- {run.label}: {regime(firsts[run.name])}{counts(firsts[run.name])}" for run in results.runs),
        "",
        *table(of_the_paper([*stated.values()])),
        "",
        "Statements of this project's own, not counted above:",
        "",
        *table([row for row in stated.values() if row["source"] == OURS]),
        "",
        "Yes: reproduced; no: not reproduced, which is a result and not a failure; undecided: more seeds would tell. "
        "Where two things are compared for equality: equal; differs from 0, yet within a quarter of the gain, which is "
        "reproduced, too; differs by more; not known. "
        "–: not measured: the statement is about another schedule, or the variant leaves its experiment out. In "
        "brackets: the number that decides, with its unit, and the part of the criterion that it belongs to where "
        "there are several.",
    ]


def _firsts(rows: Rows) -> list[Row]:
    """The rows of a run, of what is judged apart the first."""
    return [next(iter(each.values())) for each in rows.values()]


def _analytic(results: Results) -> list[str]:
    """The statements about the analytic model, which belong to no variant: from the one that simulated it most."""
    analytic = {name: [row for row in rows if row["analytic"]] for name, rows in results.claims.items()}
    those = [name for name, rows in analytic.items() if rows]
    if not those:
        return []
    chosen = max(those, key=lambda name: results.configs[name].quadratic.replicas)
    return [
        "",
        "## The analytic model",
        "",
        "No data, no network: of no variant.",
        "",
        "| statement | source | |",
        "| --- | --- | --- |",
        *(f"| {row['statement']} | {row['source']} | {_cell(row)} |" for row in analytic[chosen]),
    ]


def regime(rows: Sequence[Row]) -> str:
    """The regime of a run in brief, from the first rows that have one; empty if none does."""
    found = ChainMap(*(row["regime"] for row in rows))
    parts = [label.format(found[key]) for key, label in REGIME.items() if found.get(key) is not None]
    return f"{', '.join(parts)}. ".replace("%", " %") if parts else ""


def _cells(rows: Mapping[str, Row], run: Run) -> str:
    """What a run has of a statement; where its variants are judged apart, each by its name."""
    cells = {variant: _cell(row, run.seeds) for variant, row in rows.items() if row["verdict"] != NOT_MEASURED}
    if len(cells) > 1:
        return " · ".join(f"{variant}: {cell}" for variant, cell in cells.items())
    return "".join(cells.values()) or NOTHING


def _cell(row: Row, seeds: int = 0) -> str:
    """Verdict and number, with how many seeds are behind it if not as many as are usual there."""
    if row["verdict"] == NOT_MEASURED:
        return NOTHING
    quantity = f" {row['quantity']}" if row.get("quantity") else ""
    part = f"; {row['part']}" if row.get("part") else ""
    number = f"; {row['n']} seed{'s' if row['n'] > 1 else ''}"
    fewer = number if row["unit"] == SEEDS and row["n"] != seeds else ""
    mark = MARKS[row["verdict"]]
    if outcome := row.get("outcome"):
        mark = f"**{BY_MORE}**" if outcome == DIFFERS else outcome
    return f"{mark} ({row['value']:.3g}{quantity}{part}{fewer})"


def _not_known(results: Results) -> list[str]:
    """Statements that are undecided in some run, with the seeds that would decide them."""
    unsure: dict[str, list[str]] = {}
    for run in results.runs:
        for rows in results.rows[run.name].values():
            for variant, row in rows.items():
                if row["verdict"] == UNDECIDED:
                    needed = row["seeds_needed"] or "more than 100"
                    where = f"{variant} ({row['n']} of {needed} {row['unit']})"
                    unsure.setdefault(row["statement"], []).append(where)
    if not unsure:
        return []
    return [
        "## What is not known",
        "",
        "Undecided where named; in brackets, how many seeds there are, of how many would decide it at the present mean "
        "and spread:",
        "",
        *(f"- {statement}: {', '.join(where)}." for statement, where in unsure.items()),
    ]


def _map_section(points: pd.DataFrame) -> list[str]:
    return [
        "## Where averaging replaces decay",
        "",
        f"![Equivalence of averages and trips by window, rate and method]({MAP}.png)",
        "",
        "*An average replaces a decay of the learning rate where it is equal to the side trip that decays the rate, "
        "within the share of the gain that the criterion allows (trip: a run from the same branch point; gain: "
        "momentary − average). Above: one mark for each window, judged in validation loss over all seeds of a run. "
        "Large: late "
        "branch points together, the window over their mean step. Small and lower: an early one, over fewer seeds in "
        "some variants. Red: the average is worse than the trip; blue: better; hatched: the gain is not clear of 0. "
        "Below: average − trip against how much the momentary loss (of the run itself, without averaging) falls over "
        "the window. On a quadratic loss a two-point average keeps at most a quarter of that fall (dashed), SWA some "
        "5 %.*",
        "",
        *_counted(points),
        "",
        f"The numbers: [{MAP}.csv]({MAP}.csv).",
    ]


def _counted(points: pd.DataFrame) -> list[str]:
    """Where each method's averages are shown equal, refuted and not known: in the paper's regime, and elsewhere."""
    points = points[points["schedule"] == "constant"]
    inside = points["late"].astype(bool) & (points["window_over_branch"] <= NARROW + 1e-9)
    unknown = (points.loc[inside, "outcome"] == NOT_KNOWN).sum()
    told: dict[str, list[str]] = {method: [] for method in methods_in_order(points["kernel"])}
    for where, here in (("there", points[inside]), ("elsewhere", points[~inside])):
        for method, outcomes in here.groupby("kernel")["outcome"]:
            counts = outcomes.value_counts()
            shown = [f"{BY_MORE if each == DIFFERS else each} {counts[each]}" for each in OUTCOMES if each in counts]
            told[str(method)].append(f"{where} {', '.join(shown)}")
    return [
        f"At a constant rate, late in the run, at windows of up to {100 * NARROW:g} % of the branch step, {unknown} of "
        f"{inside.sum()} points are not known. By method, there and elsewhere (early in the run, or at wider windows):",
        "",
        *(f"- {method_words(method).title}: {'; '.join(parts)}." for method, parts in told.items()),
    ]
