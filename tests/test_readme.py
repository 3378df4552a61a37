"""The numbers of README's findings, and of the picture beside them, are those of the committed tables."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from sidetrip.experiments.forecast.figure import errors_by_seed
from sidetrip.report.average_or_trip import percent
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN

README = Path("README.md").read_text(encoding="utf-8")
REPORTS = Path("reports")
VARIANTS = ("cifar10_small", "fashion_mnist", "fashion_mnist_adamw", "shakespeare")
METHODS = ("swa", "two_point", "ema")
ROWS = {
    "gain of SWA, nats": ("swa", "gain"),
    "SWA against a linear decay": ("swa", "ratio"),
    "two-point average against half the rate": ("two_point", "ratio"),
    "EMA against the EMA's own decay": ("ema", "ratio"),
}
SHORT = {EQUAL: "equal", WITHIN: "within ¼", NOT_KNOWN: "not known", DIFFERS: "differs by more"}


def measured(variant: str, kernel: str) -> pd.Series:
    """What the variant's table has of its late branch points together, at the widest window."""
    points = pd.read_csv(REPORTS / variant / "tables" / "equivalence_map.csv")
    rows = points[points["late"] & (points["kernel"] == kernel)]
    return rows.loc[rows["window_steps"].idxmax()]


def predicted(variant: str, kernel: str) -> float | None:
    """What the analytic model says there, mean over seeds."""
    path = REPORTS / variant / "tables" / "second_order.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    rows = table[(table["kernel"] == kernel) & (table["window_steps"] == measured(variant, kernel)["window_steps"])]
    return float(rows["predicted"].mean())


def cell(variant: str, kernel: str, column: str) -> str:
    """What the table of findings has to say."""
    row = measured(variant, kernel)
    return f"{row['gain']:.3f}" if column == "gain" else f"{percent(row['ratio'])}, {SHORT[row['outcome']]}"


def verdicts(claim: str) -> list[str]:
    """On one statement, by variant."""
    rows = [json.loads((REPORTS / variant / "claims.json").read_bytes()) for variant in VARIANTS]
    return [row["verdict"] for claims in rows for row in claims if row["id"] == claim]


def sentence_of_the_methods() -> str:
    """What holds in which runs."""
    ratios = [measured(variant, "ema")["ratio"] for variant in VARIANTS]
    return (
        "SWA ends where a linear decay of the rate ends, in all four. The EMA ends better than its own decay, in all "
        f"four, by {percent(max(ratios))[1:]} to {percent(min(ratios))[1:]} of the gain. The two-point average is "
        "known to end where half the rate ends on CIFAR-10 alone."
    )


def sentence_of_all_scores() -> str:
    """How often the statements hold as the paper has them."""
    swa, two_point, ema = (verdicts(f"average_is_schedule_{method}").count("reproduced") for method in METHODS)
    return (
        "The paper speaks of accuracy and loss. In both, on training and on validation data, it is shown for SWA in "
        f"{swa} of the four, for the two-point average in {two_point}, for the EMA in {ema}; it is refuted in none."
    )


def sentence_of_the_model() -> str:
    """What the analytic model gives, by run."""
    told = []
    for variant, name in (("cifar10_small", "CIFAR-10"), ("fashion_mnist", "Fashion-MNIST with SGD")):
        numbers = [percent(predicted(variant, kernel)) for kernel in METHODS]
        told.append("on {} SWA {}, two-point {}, EMA {}".format(name, *numbers))
    return (
        f"Why they part: from the measured curvature, a quadratic model predicts {'; '.join(told)}. On CIFAR-10 that "
        "is shown to be nearer than predicting no difference, on Fashion-MNIST it is not. Long trips end better than "
        "it predicts; weight decay is not why, for without it they do, too."
    )


def sentence_of_forecasts() -> str:
    """By how much forecasts miss."""
    errors = errors_by_seed(pd.read_csv(REPORTS / "shakespeare" / "tables" / "forecasts.csv")).mean()
    return (
        "If the rate begins to decay now, where will the loss end? Forecasts were sealed before the decays ran. On "
        f"text the error is {errors['momentary']:.3f} nats with the run's present loss, {errors['merged']:.3f} with "
        f"merged snapshots, {errors['none']:.3f} with their drift, {errors['learned']:.3f} once three cool-downs were "
        f"run; the multi-power law, which needs those too, does better ({errors['power_law']:.3f}). "
        "[How to forecast, and when not to](docs/forecast.md)."
    )


@pytest.mark.parametrize("name", ROWS)
def test_findings_are_those_of_the_tables(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {name} |")]
    found = [text.strip() for text in line.strip("|").split("|")][1:]
    assert found == [cell(variant, *ROWS[name]) for variant in VARIANTS]


def test_sentences_are_those_of_the_tables():
    sentences = (sentence_of_the_methods, sentence_of_all_scores, sentence_of_the_model, sentence_of_forecasts)
    assert [sentence() for sentence in sentences if f"- {sentence()}\n" not in README] == []


def test_what_the_sentences_say_in_words():
    assert all(measured(variant, "swa")["outcome"] in (EQUAL, WITHIN) for variant in VARIANTS)
    assert all(measured(variant, "ema")["ratio_high"] < 0 for variant in VARIANTS)
    known = [variant for variant in VARIANTS if measured(variant, "two_point")["outcome"] != NOT_KNOWN]
    assert known == ["cifar10_small"]
    assert measured("cifar10_small", "two_point")["outcome"] in (EQUAL, WITHIN)
    assert not any("not reproduced" in verdicts(f"average_is_schedule_{method}") for method in METHODS)
    for kernel in ("swa", "ema"):
        assert measured("fashion_mnist_no_decay", kernel)["ratio"] > predicted("fashion_mnist_no_decay", kernel) + 0.05
    helps = dict(zip(("cifar10_small", "fashion_mnist"), verdicts("second_order_predicts"), strict=False))
    assert helps == {"cifar10_small": "reproduced", "fashion_mnist": "undecided"}


def test_the_guide_to_forecasts_tells_how_many_came_true():
    guide = Path("docs/forecast.md").read_text(encoding="utf-8")
    cells = pd.read_csv(REPORTS / "shakespeare" / "tables" / "forecast_cells.csv")
    held = cells.set_index(["correction", "window_steps", "decay"])[["covered", "n"]].sort_index()
    near = held.loc[("none", 200)].sum()
    assert f"over 200 steps (a tenth of the run): {near['covered']} of {near['n']} within" in guide
    told = {key: f"{row['covered']} of {row['n']}" for key, row in held.iterrows()}
    far = {decay: told[("none", 400, decay)] for decay in ("linear", "cosine", "1-sqrt")}
    assert f"Over 400 steps: {far['linear']} (linear), {far['cosine']} (cosine), {far['1-sqrt']} (1 − √)." in guide
    parts = [", ".join(told[("learned", steps, decay)] for decay in far) for steps in (200, 400)]
    assert f"over 200 steps: {parts[0]}; over 400 steps: {parts[1]}." in guide
    assert verdicts("forecast_beats_power_law") == ["not reproduced", "undecided", "undecided", "not reproduced"]


def test_the_picture_shows_the_tables_of_all_reports_of_today():
    shown = pd.read_csv(REPORTS / "average_or_trip.csv").set_index(["variant", "kernel"])
    claims = {path.parent.name: json.loads(path.read_bytes()) for path in REPORTS.glob("*/claims.json")}
    today = [name for name, rows in claims.items() if all("analytic" in row for row in rows)]
    clear = {(variant, kernel) for variant in today for kernel in METHODS if measured(variant, kernel)["ratio_low"] < 9}
    assert set(shown.index) == clear  # of the rest the gain is not clear of 0, so that its ratio means nothing
    for variant, kernel in shown.index:
        row = shown.loc[(variant, kernel)]
        table = measured(variant, kernel)
        names = [name for name in shown.columns if name != "predicted"]
        assert row[names].astype(str).to_dict() == table[names].astype(str).to_dict()
        model = predicted(variant, kernel)
        assert pd.isna(row["predicted"]) if model is None else row["predicted"] == pytest.approx(model, rel=1e-6)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README):
        assert target.startswith("https://") or Path(target).exists(), target
