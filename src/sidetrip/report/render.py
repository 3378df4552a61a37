"""Tables, figures and verdicts to reports/<variant>/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from sidetrip.config import BurnIn, Config
from sidetrip.config.known import origin
from sidetrip.data.packed import Facts
from sidetrip.verdicts.records import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, UNDECIDED, WITHIN
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.wording import OURS, method_words

PACKAGE = Path(__file__).parents[1]
EQUIVALENCE = "average_is_schedule_"
# How pages name what they know; all else by its name in the settings.
DATA = {"fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "shakespeare": "Shakespeare"}
NETWORKS = {"resnet8": "ResNet-8", "resnet20": "ResNet-20", "decoder": "transformer"}
OPTIMIZERS = {"sgd": "SGD", "nesterov": "Nesterov's SGD", "adamw": "AdamW"}

Claims = Sequence[dict[str, Any]]


def render(
    config: Config,
    data: Facts,
    claims: Claims,
    statements: Iterable[Statement],
    sections: Mapping[str, Mapping[str, Any]],
    software: Sequence[tuple[dict[str, str], list[str]]],
) -> str:
    """Markdown of one variant's report.

    `claims` are rows of claims.json, `statements` what they are about. `sections` has, by experiment and in the order
    in which they are shown, what a section shows beside claims and settings; `software` has versions and hardware, each
    with the stages that computed with them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PACKAGE), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    rows = {row["id"]: row for row in claims}
    return environment.get_template("report/page.md.j2").render(
        config=config,
        scored=_scored(config, data),
        validation=data.validation_samples,
        predicted="tokens" if data.kind == "text" else "images",
        software=software,
        rows=rows,
        rows_of=lambda ids: [rows[name] for name in ids],
        counts=counts(claims),
        paper=of_the_paper(claims),
        ours=OURS,
        sections={name: f"experiments/{name}/section.md.j2" for name in sections},
        left_out=sorted(config.left_out),
        regimes={
            method_words(name.removeprefix(EQUIVALENCE)).title: row["regime"]
            for name, row in rows.items()
            if name.startswith(EQUIVALENCE)
        },
        network=NETWORKS.get(config.model.name, config.model.name),
        data_title=DATA.get(config.data.name, config.data.name),
        data_words=data_words(config, data),
        optimizer=optimizer_words(config.burn_in),
        origin=origin(config.data.source, config.data.name),
        meaning=partial(meaning, claims, {statement.id: statement for statement in statements}),
        **{name: fact for facts in sections.values() for name, fact in facts.items()},
    )


def _scored(config: Config, data: Facts) -> int:
    """What is told on the validation split: a class for each image, or the next token for each of a window."""
    samples = config.evaluation.validation_samples
    if not samples:
        return data.validation_samples
    return samples * config.data.context if data.kind == "text" else samples


def data_words(config: Config, data: Facts) -> str:
    """How many samples there are, and of what."""
    if data.kind == "text":
        tokens = f"{data.train_samples} training and {data.validation_samples} validation tokens"
        return f"{tokens}, {config.data.tokens}s, {data.vocabulary} different ones; windows of {config.data.context}"
    side = config.data.size
    return f"{data.train_samples} training and {data.validation_samples} validation images of {side} × {side}"


def optimizer_words(settings: BurnIn) -> str:
    """The optimizer in words, with the constants that it has."""
    optimizer = settings.optimizer
    if optimizer.name == "adamw":
        constants = f"β {optimizer.betas[0]:g}, {optimizer.betas[1]:g}, decoupled weight decay"
    else:
        constants = f"momentum {optimizer.momentum:g}, weight decay"
    parts = [f"{OPTIMIZERS[optimizer.name]}, {constants} {optimizer.weight_decay:g}"]
    parts += [f"gradients clipped at {settings.clip:g}"] if settings.clip else []
    parts += [f"{settings.warm_up} steps of warm-up"] if settings.warm_up else []
    return ", ".join(parts)


def of_the_paper(claims: Claims) -> Claims:
    """Rows of the paper's statements about a run: without this project's, and without the analytic model's."""
    return [row for row in claims if row["source"] != OURS and not row["analytic"]]


def counts(claims: Claims) -> str:
    """How many of the paper's statements were reproduced, not reproduced, undecided, not measured; a sentence."""
    found = Counter(row["verdict"] for row in of_the_paper(claims))
    parts = [f"{found[name]} {name}" for name in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED)]
    decided = found[REPRODUCED] + found[NOT_REPRODUCED]
    return f"{decided} of {found.total()} statements decided: {', '.join(parts)}."


def meaning(claims: Claims, known: Mapping[str, Statement], ids: Sequence[str]) -> str:
    """What the verdicts on some statements mean, a sentence each; what is undecided at the end."""
    verdicts = {row["id"]: row["verdict"] for row in claims}
    within = {row["id"] for row in claims if row.get("outcome") == WITHIN}
    sentences = [
        (name in within and known[name].if_within) or known[name].if_true
        for name in ids
        if verdicts[name] == REPRODUCED
    ]
    sentences += [known[name].if_false for name in ids if verdicts[name] == NOT_REPRODUCED]
    unsure = [f"`{name}`" for name in ids if verdicts[name] == UNDECIDED]
    if unsure:
        sentences.append(f"Undecided with this many seeds: {', '.join(unsure)}.")
    return " ".join(sentences or ["Nothing was measured for it here."])
