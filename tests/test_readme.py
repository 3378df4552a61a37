"""The numbers of README's findings, and of the picture beside them, are those of the committed tables."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from sidetrip.experiments.forecast.figure import errors_by_seed
from sidetrip.report.average_or_trip import percent
from sidetrip.verdicts.records import EQUAL, NOT_KNOWN, WITHIN

README = Path("README.md").read_text(encoding="utf-8")
REPORTS = Path("reports")
VARIANTS = ("fashion_mnist", "cifar10_small", "fashion_mnist_adamw", "shakespeare")
METHODS = ("swa", "two_point", "ema")
ROWS = {
    "gain of SWA": ("swa", "gain"),
    "SWA − its trip, whose rate falls linearly to 0": ("swa", "gap"),
    "two-point average − the trip at half the rate": ("two_point", "gap"),
    "EMA − the trip with its schedule": ("ema", "gap"),
}


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
    return f"{row['gain']:.4f}" if column == "gain" else f"{row['gap']:+.4f}: {row['outcome']}"


def shares(kernel: str) -> list[str]:
    """(average − trip) ÷ gain in README's words."""
    return [percent(measured(variant, kernel)["ratio"]) for variant in VARIANTS]


def listed(texts: Iterable[str]) -> str:
    """Several as a list."""
    *first, last = texts
    return f"{', '.join(first)} and {last}"


@pytest.mark.parametrize("name", ROWS)
def test_findings_are_those_of_the_tables(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {name} |")]
    found = [text.strip() for text in line.strip("|").split("|")][1:]
    assert found == [cell(variant, *ROWS[name]) for variant in VARIANTS]


def test_averaging_helps_by_what_is_told():
    gains = [measured(variant, kernel)["gain"] for variant in VARIANTS for kernel in METHODS]
    assert f"by {min(gains):.3f} to {max(gains):.3f} nats" in README


def test_swa_ends_where_its_trip_ends():
    sgd, cifar, adamw, text = shares("swa")
    told = f"{sgd} and {cifar} (SGD, pictures), {adamw} (AdamW, pictures) and {text} (AdamW, text) of the gain"
    assert told in README
    assert all(measured(variant, "swa")["outcome"] in (EQUAL, WITHIN) for variant in VARIANTS)


def test_the_ema_ends_better_in_all_four():
    assert f"in all four: by {listed(share[1:] for share in shares('ema'))} of the gain" in README
    assert all(measured(variant, "ema")["ratio_high"] < 0 for variant in VARIANTS)


def test_of_the_two_point_average_it_is_known_in_one():
    assert f"the trip at half the rate: {listed(shares('two_point'))}" in README
    known = [variant for variant in VARIANTS if measured(variant, "two_point")["outcome"] != NOT_KNOWN]
    assert known == ["cifar10_small"]
    assert measured("cifar10_small", "two_point")["outcome"] == EQUAL


def test_what_the_model_gives_stands_beside_what_was_measured():
    for variant, name in (("cifar10_small", "CIFAR-10"), ("fashion_mnist", "Fashion-MNIST")):
        for kernel, title in (("ema", "the EMA"), ("swa", "SWA")):
            model, found = predicted(variant, kernel), measured(variant, kernel)["ratio"]
            assert f"{percent(model)} for {title} on {name} (measured: {percent(found)})" in README


def test_where_the_model_is_shown_to_help():
    verdicts = {
        variant: {row["id"]: row["verdict"] for row in json.loads((REPORTS / variant / "claims.json").read_bytes())}
        for variant in ("cifar10_small", "fashion_mnist")
    }
    assert "On CIFAR-10 it is shown to be nearer than predicting no difference" in README
    assert "on Fashion-MNIST that is undecided" in README
    assert verdicts["cifar10_small"]["second_order_predicts"] == "reproduced"
    assert verdicts["fashion_mnist"]["second_order_predicts"] == "undecided"


def test_forecasts_miss_by_what_is_told():
    errors = errors_by_seed(pd.read_csv(REPORTS / "shakespeare" / "tables" / "forecasts.csv")).mean()
    told = (
        f"misses by {errors['momentary']:.3f} nats, merged snapshots by {errors['merged']:.3f}, their drift added by "
        f"{errors['none']:.3f}, three earlier cool-downs learned from by {errors['learned']:.3f}"
    )
    assert told in README
    assert f"multi-power law fitted to the same losses by {errors['power_law']:.3f}" in README


def test_the_picture_shows_the_tables_of_all_reports_of_today():
    shown = pd.read_csv(REPORTS / "average_or_trip.csv").set_index(["variant", "kernel"])
    claims = {path.parent.name: json.loads(path.read_bytes()) for path in REPORTS.glob("*/claims.json")}
    today = [name for name, rows in claims.items() if all("analytic" in row for row in rows)]
    assert set(shown.index) == {(variant, kernel) for variant in today for kernel in METHODS}
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
