"""Tables, figures and verdicts to reports/<variant>/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jinja2
import pandas as pd

from sidetrip.config import Config
from sidetrip.data.packed import Facts
from sidetrip.experiments.methods import METHODS
from sidetrip.verdicts.side_trips import compared, of_score, widest_window
from sidetrip.verdicts.single_step import BATCH, paper_setting
from sidetrip.verdicts.statements import statements
from sidetrip.verdicts.statistics import (
    NOT_MEASURED,
    NOT_REPRODUCED,
    POINT,
    REPRODUCED,
    UNDECIDED,
    by_seed,
    fieller,
    late,
)

# One section each, in the order of the page; every name is that of an experiment.
SECTIONS = ("single_step", "fixed_batch", "side_trips", "divergence", "alignment", "quadratic")
ORIGINS = {
    "embedded": "all of Fashion-MNIST (MIT licence, Zalando SE), averaged to 14 × 14, in this repository",
    "torchvision": "downloaded by torchvision",
    "folder": "a folder of picture files that is not part of this repository",
}

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
    regime = rows[f"average_is_schedule_{METHODS[0].name}"]["regime"]
    return environment.get_template("page.md.j2").render(
        config=config,
        facts=facts,
        scored=config.evaluation.validation_samples or facts.validation_samples,
        provenance=provenance,
        claims=claims,
        rows=rows,
        unmeasured=[row for row in claims if row["verdict"] == NOT_MEASURED],
        counts=counts(claims),
        sections=SECTIONS,
        methods=METHODS,
        regime={"window": regime["window_over_branch"], "fall": regime["fall_over_gain"]},
        origin=ORIGINS[config.data.source],
        step=step_facts(config, tables["best_steps"]),
        averages=average_facts(config, tables),
        points=point_rows(tables["by_point"]),
        controls=control_rows(config, tables),
        meaning=partial(meaning, claims),
    )


def counts(claims: Claims) -> str:
    """How many statements were reproduced, not reproduced, undecided, not measured; a sentence."""
    found = Counter(row["verdict"] for row in claims)
    parts = [f"{found[verdict]} {verdict}" for verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)]
    return f"Of {len(claims)} statements: {', '.join(parts)}."


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
    """Mean scores of every method at its widest window over the late branch points, and how many trips diverged."""
    scores = late(tables["side_trips"], config.branch.points)
    distances, rows = late(tables["distances"], config.branch.points), []
    for method in METHODS:
        window = widest_window(scores, method.name)
        table = compared(scores, method.name, window)
        here = distances[(distances["kernel"] == method.name) & (distances["window_steps"] == window)]
        rows.append(
            {
                "title": f"{method.title}, {window} steps",
                "loss": of_score(table, "loss", "validation").mean().to_dict(),
                "accuracy": of_score(table, "accuracy", "validation").mean().to_dict(),
                "relative_distance": (here["average_to_trip"] / here["trip_to_start"]).mean(),
            }
        )
    ends = tables["side_trips"].query("model == 'trip' and split == 'validation' and look == 0")
    return {"rows": rows, "diverged": int(ends["diverged"].sum())}


def point_rows(by_point: pd.DataFrame) -> list[dict[str, Any]]:
    """Validation loss of every seed and branch point, at the widest window of each method."""
    rows = by_point.query("split == 'validation' and metric == 'loss'")
    widest = rows.groupby("kernel")["window_steps"].transform("max")
    titles = {method.name: method.title for method in METHODS}
    shown = rows[rows["window_steps"] == widest].assign(title=lambda table: table["kernel"].map(titles))
    return shown.to_dict("records")  # type: ignore[return-value]


def control_rows(config: Config, tables: Tables) -> list[dict[str, Any]]:
    """Averages with a wrong kernel against the trip of the true one."""
    scores, distances = (late(tables[name], config.branch.points) for name in ("side_trips", "distances"))
    found = []
    for method in METHODS:
        window = widest_window(scores, method.name)
        apart = distances[distances["window_steps"] == window].set_index(POINT)
        true = by_seed(apart.loc[apart["kernel"] == method.name, "average_to_trip"])
        for kernel in sorted({name for name in scores["kernel"] if name.startswith(f"{method.name}_")}):
            gap = of_score(compared(scores, method.name, window, kernel), "loss", "validation")["gap"]
            wrong = by_seed(apart.loc[apart["kernel"] == kernel, "average_to_trip"])
            farther = fieller(wrong.to_numpy(), true.to_numpy(), config.claims.confidence)
            changed = kernel.removeprefix(f"{method.name}_")
            found.append(
                {"kernel": f"{method.title}, {changed}", "trip": method.title, "gap": gap.mean(), "farther": farther}
            )
    return found


def meaning(claims: Claims, ids: Sequence[str]) -> str:
    """What the verdicts on some statements mean, a sentence each; what is undecided at the end."""
    verdicts = {row["id"]: row["verdict"] for row in claims}
    known = {statement.id: statement for statement in statements()}
    sentences = [known[name].if_true for name in ids if verdicts[name] == REPRODUCED]
    sentences += [known[name].if_false for name in ids if verdicts[name] == NOT_REPRODUCED]
    unsure = [known[name].statement for name in ids if verdicts[name] == UNDECIDED]
    if unsure:
        sentences.append(f"Undecided with this many seeds: {'; '.join(unsure)}.")
    return " ".join(sentences)
