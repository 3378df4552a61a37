"""Tables, figures and verdicts to reports/<variant>/README.md."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from sidetrip.config import Config
from sidetrip.config.known import origin
from sidetrip.data.packed import Facts
from sidetrip.experiments.decays import DECAYS
from sidetrip.experiments.methods import METHODS, Method
from sidetrip.experiments.pages import in_order
from sidetrip.verdicts.forecast import errors
from sidetrip.verdicts.rows import statements
from sidetrip.verdicts.scores import SIGN
from sidetrip.verdicts.side_trips import TITLES, UNITS, compared, of_score, widest_window
from sidetrip.verdicts.single_step import BATCH, paper_setting
from sidetrip.verdicts.statements import OURS
from sidetrip.verdicts.statistics import (
    NOT_MEASURED,
    NOT_REPRODUCED,
    POINT,
    REPRODUCED,
    UNDECIDED,
    by_seed,
    fieller,
    late,
    student_interval,
)

SECTIONS, SECTION = Path(__file__).with_name("sections"), ".md.j2"  # one each, by the name of its experiment

FORMS = {"loss": {"form": "%.4f", "signed": "%+.4f"}, "accuracy": {"form": "%.2f", "signed": "%+.2f"}}

Claims = Sequence[dict[str, Any]]
Tables = Mapping[str, pd.DataFrame]


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


def render(config: Config, facts: Facts, tables: Tables, claims: Claims, provenance: Origin) -> str:
    """Markdown of one variant's report."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidetrip.report", "."),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    rows = {row["id"]: row for row in claims}
    return environment.get_template("page.md.j2").render(
        config=config,
        facts=facts,
        scored=config.evaluation.validation_samples or facts.validation_samples,
        provenance=provenance,
        claims=claims,
        rows=rows,
        rows_of=lambda ids: [rows[name] for name in ids],
        equivalences=[f"average_is_schedule_{method.name}" for method in METHODS],
        summary=summary(of_the_paper(claims)),
        paper=of_the_paper(claims),
        ours=OURS,
        sections=in_order({path.name.removesuffix(SECTION) for path in SECTIONS.glob(f"*{SECTION}")} - config.left_out),
        left_out=in_order(config.left_out),
        methods=METHODS,
        windows={method.name: [kernel.steps for kernel in method.kernels(config.side_trips)] for method in METHODS},
        regimes={method.title: rows[f"average_is_schedule_{method.name}"]["regime"] for method in METHODS},
        origin=origin(config.data.source, config.data.name),
        step=None if "single_step" in config.left_out else step_facts(config, tables["best_steps"]),
        averages=average_facts(config, tables),
        points=point_rows(tables["by_point"]),
        controls=control_rows(config, tables),
        forecast=None if "forecast" in config.left_out else forecast_facts(tables),
        meaning=partial(meaning, claims),
    )


def of_the_paper(claims: Claims) -> Claims:
    """Rows of the paper's statements, without those of this project."""
    return [row for row in claims if row["source"] != OURS]


def summary(claims: Claims) -> dict[str, list[str]]:
    """Names of the statements, by verdict."""
    order = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)
    return {verdict: [row["id"] for row in claims if row["verdict"] == verdict] for verdict in order}


def counts(claims: Claims) -> str:
    """How many of the paper's statements were reproduced, not reproduced, undecided, not measured; a sentence."""
    found = summary(of_the_paper(claims))
    parts = [f"{len(ids)} {verdict}" for verdict, ids in found.items()]
    decided = sum(len(ids) for verdict, ids in found.items() if verdict in (REPRODUCED, NOT_REPRODUCED))
    return f"{decided} of {sum(map(len, found.values()))} statements decided: {', '.join(parts)}."


def step_facts(config: Config, best_steps: pd.DataFrame) -> dict[str, Any]:
    """Means over the own batches of the run's own size at late branch points."""
    size = config.burn_in.batch_size
    best = late(paper_setting(best_steps), config.branch.points).query("batch_size == @size")
    own, held = (best[best["batch"] == kind].set_index(BATCH) for kind in ("own", "held_out"))
    return {
        "n": len(own),
        "batch_size": size,
        "own_start": own["start"].mean(),
        "own_lowest": own["lowest"].mean(),
        "held_start": held["start"].mean(),
        "held_lowest": held["lowest"].mean(),
        "rate_ratio": (held["best_step_size"] / own["best_step_size"]).mean(),
    }


def average_facts(config: Config, tables: Tables) -> dict[str, Any]:
    """Scores of every method at its widest window over the late branch points, and how many trips diverged."""
    scores = late(tables["side_trips"], config.branch.points)
    rows = []
    for method in METHODS:
        window = widest_window(scores, method.name)
        table = compared(scores, method.name, window)
        for metric, split in itertools.product(("loss", "accuracy"), ("validation", "train")):
            title = f"{method.title}, {window} steps"
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
    rows = by_point.query("split == 'validation' and metric == 'loss'")
    widest = rows.groupby("kernel")["window_steps"].transform("max")
    titles = {method.name: method.title for method in METHODS}
    shown = rows[rows["window_steps"] == widest].assign(title=lambda table: table["kernel"].map(titles))
    return shown.to_dict("records")  # type: ignore[return-value]


def forecast_facts(tables: Tables) -> dict[str, Any]:
    """How far off forecasts and their rivals were, by decay, window and spacing; and the forecasts of the last step."""
    titles = {decay.name: decay.title for decay in DECAYS}
    found = errors(tables["forecasts"]).query("metric == 'loss'").dropna(subset=["cool_down"])
    rows = []
    for key, here in found.groupby(["window_steps", "decay", "spacing_steps"]):
        off = here[["off_momentary", "off_merged", "off_forecast"]]
        rows.append(
            {
                **dict(zip(("window", "decay", "spacing"), key, strict=True)),
                "title": titles[str(key[1])],  # type: ignore[index]
                "n": len(here),
                **{f"bias_{name}": float(value) for name, value in off.mean().items()},
                **{str(name): float(value) for name, value in off.abs().mean().items()},
                "covered": int(here["covered"].sum()),
            }
        )
    line = tables["forecast_line"]
    last = line[line["step"] == line["step"].max()].assign(title=lambda table: table["decay"].map(titles))
    by_metric = {metric: last[last["metric"] == metric].to_dict("records") for metric in ("loss", "accuracy")}
    return {
        "rows": rows,
        "last": list(zip(by_metric["loss"], by_metric["accuracy"], strict=True)),
        "step": int(line["step"].max()),
    }


def control_rows(config: Config, tables: Tables) -> list[dict[str, Any]]:
    """Averages with the true and with wrong kernels against the trip of the true one: loss and distance."""
    scores = late(tables["side_trips"], config.branch.points)
    found: list[dict[str, Any]] = []
    for method in METHODS:
        wrong = sorted({name for name in scores["kernel"] if name.startswith(f"{method.name}_")} - _method_names())
        kernels = [method.name, *wrong] if wrong else []
        found += [_control(config, tables, method, kernel) for kernel in kernels]
    return found


def _method_names() -> set[str]:
    return {method.name for method in METHODS}


def _control(config: Config, tables: Tables, method: Method, kernel: str) -> dict[str, Any]:
    """One average against the trip of `method`, at the widest window over the late branch points."""
    scores, distances = (late(tables[name], config.branch.points) for name in ("side_trips", "distances"))
    window, level = widest_window(scores, method.name), config.claims.confidence
    apart = distances[distances["window_steps"] == window].set_index(POINT)
    here, true = (by_seed(apart.loc[apart["kernel"] == name, "average_to_trip"]) for name in (kernel, method.name))
    gap = by_seed(of_score(compared(scores, method.name, window, kernel), "loss", "validation")["gap"])
    changed = "true kernel" if kernel == method.name else kernel.removeprefix(f"{method.name}_")
    return {
        "kernel": f"{method.title}, {changed}",
        "trip": method.title,
        "gap": student_interval(gap.to_numpy(), level),
        "distance": here.mean(),
        "farther": None if kernel == method.name else fieller(here.to_numpy(), true.to_numpy(), level),
    }


def meaning(claims: Claims, ids: Sequence[str]) -> str:
    """What the verdicts on some statements mean, a sentence each; what is undecided at the end."""
    verdicts = {row["id"]: row["verdict"] for row in claims}
    known = {statement.id: statement for statement in statements()}
    sentences = [known[name].if_true for name in ids if verdicts[name] == REPRODUCED]
    sentences += [known[name].if_false for name in ids if verdicts[name] == NOT_REPRODUCED]
    unsure = [f"`{name}`" for name in ids if verdicts[name] == UNDECIDED]
    if unsure:
        sentences.append(f"Undecided with this many seeds: {', '.join(unsure)}.")
    return " ".join(sentences)
