"""The index over all variants, and the map's table and picture beside it."""

import json
from dataclasses import replace
from functools import cache

import pandas as pd
import pytest
from report_tables import all_tables
from verdict_tables import config, side_trips

from sidetrip.config import save_config
from sidetrip.experiments.claims import measure, statements
from sidetrip.files import write_json
from sidetrip.index.page import FORECAST, write_index
from sidetrip.tables import write_table
from sidetrip.verdicts.records import OUTCOMES, REPRODUCED, UNDECIDED
from sidetrip.verdicts.wording import OURS


@cache
def judged() -> tuple[dict[str, pd.DataFrame], list[dict]]:
    """Tables and rows of a variant whose settings and tables are the usual ones; to be read."""
    tables = all_tables()
    return tables, measure(tables, config())


def reports(folder, *variants, **changes):
    """Committed reports of variants that are alike but for their names."""
    tables, rows = judged()
    if changes:
        tables = all_tables(**changes)
        rows = measure(tables, config())
    for variant in variants:
        write_json(folder / variant / "claims.json", rows)
        save_config(replace(config(), variant=variant), folder / variant / "config.yaml")
        points = tables["equivalence_map"].assign(variant=variant)
        write_table(points, folder / variant / "tables" / "equivalence_map.csv")
    write_index(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_analytic_model_is_that_of_the_variant_that_simulated_it_most(tmp_path):
    found = []
    reports(tmp_path, "first", "second")
    usual = judged()[1]
    for replicas_of_each in ((8000, 200), (200, 8000)):
        for variant, replicas in zip(("first", "second"), replicas_of_each, strict=True):
            fewer = [row | {"value": 1.0} if row["analytic"] and replicas == 200 else row for row in usual]
            write_json(tmp_path / variant / "claims.json", fewer)
            settings = replace(config(**{"quadratic.replicas": replicas}), variant=variant)
            save_config(settings, tmp_path / variant / "config.yaml")
        write_index(tmp_path)
        found.append((tmp_path / "README.md").read_text(encoding="utf-8").split("## The analytic model")[1])
    first, second = (text.split("## ")[0] for text in found)
    assert first == second
    assert "(1; " not in first


def test_one_column_for_each_variant(tmp_path):
    text = reports(tmp_path, "first", "second")
    assert "| statement | source | [first](first/README.md) | [second](second/README.md) |" in text
    row = next(line for line in text.splitlines() if "on a held-out training batch only small steps help" in line)
    assert row.count("yes (") == 2
    assert "- [first](first/README.md): λ ÷ batch size 3.1e-03, widest SWA window 50.0 % of the branch step" in text


def test_the_map_covers_all_variants(tmp_path):
    text = reports(tmp_path, "first", "second")
    assert "](equivalence_map.png)" in text
    assert (tmp_path / "equivalence_map.png").stat().st_size > 0
    assert set(pd.read_csv(tmp_path / "equivalence_map.csv")["variant"]) == {"first", "second"}
    points = pd.read_csv(tmp_path / "equivalence_map.csv").query("kernel == 'swa'")
    narrow = points["window_over_branch"] <= 0.1
    for where, rows in (("up to", points[narrow]), ("above", points[~narrow])):
        counts = rows["outcome"].value_counts()
        told = ", ".join(f"{outcome} {counts[outcome]}" for outcome in OUTCOMES if outcome in counts)
        assert f"windows {where} 10 % of the branch step: {told}" in text


def test_what_was_found_stands_first_with_its_picture_and_table(tmp_path):
    text = reports(tmp_path, "first", "second")
    order = ["The SWA average and its trip", "](average_or_trip.png)", "## Statements", "## Where averaging"]
    assert sorted(order, key=text.index) == order
    assert "shown in 2 of 2 runs" in text
    claims = [json.loads((tmp_path / name / "claims.json").read_bytes()) for name in ("first", "second")]
    for method, phrase in (("swa", "the SWA average"), ("ema", "the EMA")):
        rows = [row for rows in claims for row in rows if row["id"] == f"average_is_schedule_{method}"]
        held = sum(row["verdict"] == REPRODUCED for row in rows)
        assert f"{phrase} in {held} of 2" in text
    assert (tmp_path / "average_or_trip.png").stat().st_size > 0
    assert set(pd.read_csv(tmp_path / "average_or_trip.csv")["variant"]) == {"first", "second"}


def test_a_forecast_is_shown_where_there_is_one(tmp_path):
    assert FORECAST not in reports(tmp_path, "first")
    (tmp_path / FORECAST).parent.mkdir(parents=True)
    (tmp_path / FORECAST).touch()
    write_index(tmp_path)
    assert f"]({FORECAST})" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_what_is_undecided_is_listed_with_the_seeds_that_would_decide_it(tmp_path):
    text = reports(tmp_path, "first", side_trips=side_trips(gap=0.0, spread=0.05))
    row = next(r for r in json.loads((tmp_path / "first" / "claims.json").read_bytes()) if r["verdict"] == UNDECIDED)
    needed = row["seeds_needed"] or "more than 100"
    _, unsure = text.split("## What is not known")
    assert f"- {row['statement']}: first ({needed} {row['unit']})" in unsure


def test_statements_of_the_analytic_model_are_counted_and_shown_once(tmp_path):
    text = reports(tmp_path, "first", "second")
    variants, analytic = text.split("## The analytic model")
    words = "with constant gradients the trajectories coincide"
    assert (variants.count(words), analytic.count(words)) == (0, 1)
    without = sum(s.source != OURS and not s.analytic for s in statements())
    assert text.count(f" of {without} statements decided") == 2


@pytest.mark.parametrize(("gap", "said"), [(0.015, "differs within a quarter"), (0.08, "**differs by more**")])
def test_a_comparison_for_equality_is_shown_with_its_outcome(tmp_path, gap, said):
    text = reports(tmp_path, "first", side_trips=side_trips(gap=gap, spread=0.0005))
    row = next(line for line in text.splitlines() if "| the SWA average and the side trip" in line)
    assert f"| {said} (" in row


def test_the_same_reports_give_the_same_bytes(tmp_path):
    reports(tmp_path / "a", "first")
    reports(tmp_path / "b", "first")
    for name in (
        "README.md",
        "average_or_trip.png",
        "average_or_trip.csv",
        "equivalence_map.png",
        "equivalence_map.csv",
    ):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
