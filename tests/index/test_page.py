"""The index over all variants, and the map's table and picture beside it."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from report_tables import all_tables
from verdict_tables import base, config, side_trips

from sidetrip.config import save_config
from sidetrip.experiments.claims import measure, statements
from sidetrip.files import write_json
from sidetrip.index.page import FORECAST, page, read_reports, write_index
from sidetrip.tables import write_table
from sidetrip.verdicts.records import NOT_KNOWN, OUTCOMES, REPRODUCED, UNDECIDED
from sidetrip.verdicts.wording import OURS

TWO = ("first", "second")
REPORTS = Path("reports")


@cache
def rows() -> list[dict]:
    """Of claims.json of a variant whose settings and tables are the usual ones; to be read."""
    return measure(all_tables(), config())


def page_over(folder: Path) -> str:
    """The page over the reports of a folder."""
    return page(read_reports(folder, base()))


def write_report(folder: Path, variant: str, found: list[dict], tables: dict[str, pd.DataFrame], **changes) -> None:
    write_json(folder / variant / "claims.json", found)
    save_config(replace(config(**changes), variant=variant), folder / variant / "config.yaml")
    for name, table in tables.items():
        write_table(table, folder / variant / "tables" / f"{name}.csv")


def page_of_trips(folder: Path, **scores: float) -> str:
    """The page over a report in which averages and trips alone are measured."""
    alone = {f"experiments.{name}": False for name in vars(config().experiments)}
    tables = all_tables(config(**alone), side_trips=side_trips(**scores))
    write_report(folder, "first", measure(tables, config(**alone)), tables, **alone)
    return page_over(folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, str]:
    """Folder and text of the page over two runs that are alike but for what rounds differently; to be read."""
    folder = tmp_path_factory.mktemp("reports")
    for number, variant in enumerate(TWO):
        write_report(folder, variant, rows(), all_tables(), **{"evaluation.batch_size": 50 + number})
    write_index(folder, base())
    return folder, (folder / "README.md").read_text(encoding="utf-8")


def test_the_committed_page_is_that_of_the_committed_reports(tmp_path):
    for path in REPORTS.glob("*/claims.json"):
        (tmp_path / path.parent.name).symlink_to(path.parent.resolve())
    write_index(tmp_path, base())
    for name in ("README.md", "average_or_trip.csv", "equivalence_map.csv"):
        assert (tmp_path / name).read_bytes() == (REPORTS / name).read_bytes()


@pytest.mark.parametrize("one_run", [False, True])
def test_the_analytic_model_is_that_of_the_variant_that_simulated_it_most(tmp_path, two, one_run):
    """Of two runs, or of two variants of one."""
    shutil.copytree(two[0], tmp_path, dirs_exist_ok=True)
    fewer = [row | {"value": 7.77} if row["analytic"] else row for row in rows()]
    for most, other in (TWO, TWO[::-1]):
        for variant, replicas, found in ((most, 8000, rows()), (other, 200, fewer)):
            changes = {"quadratic.replicas": replicas} | ({} if one_run else {"evaluation.batch_size": replicas})
            write_report(tmp_path, variant, found, {}, **changes)
        assert "7.77" not in page_over(tmp_path).split("## The analytic model")[1].split("## ")[0]


def test_one_column_for_each_variant(two):
    _, text = two
    assert "| statement | source | [first](first/README.md) | [second](second/README.md) |" in text
    row = next(line for line in text.splitlines() if "on a held-out training batch only small steps help" in line)
    assert row.count("yes (") == 2
    regime = "λ ÷ batch size 3.1e-03, widest SWA window 50.0 % of the first late branch step"
    assert f"([first](first/README.md)): {regime}" in text


@pytest.mark.parametrize("variants", [(), ("first",)])
def test_without_trips_there_is_a_page_without_the_map(tmp_path, variants):
    for variant in variants:
        write_report(tmp_path, variant, rows(), {})
    write_index(tmp_path, base())
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Results")
    assert "png" not in text
    assert not list(tmp_path.glob("*.*g"))


def test_the_map_covers_all_variants(two):
    folder, text = two
    assert "](equivalence_map.png)" in text
    points = pd.read_csv(folder / "equivalence_map.csv")
    assert set(points["variant"]) == set(TWO)
    inside = points["late"] & (points["window_over_branch"] <= 0.1)
    unknown = (inside & (points["outcome"] == NOT_KNOWN)).sum()
    assert f"up to 10 % of the branch step, {unknown} of {inside.sum()} points are not known" in text
    (line,) = [line for line in text.splitlines() if line.startswith("- SWA: there ")]
    assert line == f"- SWA: there {told(points[inside])}; elsewhere {told(points[~inside])}."


def told(points: pd.DataFrame) -> str:
    counts = points.loc[points["kernel"] == "swa", "outcome"].value_counts()
    return ", ".join(f"{outcome} {counts[outcome]}" for outcome in OUTCOMES if outcome in counts)


def test_what_was_found_stands_first_with_its_picture_and_table(two):
    folder, text = two
    order = ["The SWA average and its trip", "](average_or_trip.png)", "## Statements", "## Where averaging"]
    assert sorted(order, key=text.index) == order
    assert "shown in 2 of 2 runs" in text
    verdicts = {row["id"]: row["verdict"] for row in rows()}
    for method, phrase in (("swa", "the SWA average"), ("ema", "the EMA")):
        held = 2 * (verdicts[f"average_is_schedule_{method}"] == REPRODUCED)
        assert f"{phrase} in {held} of 2" in text
    assert set(pd.read_csv(folder / "average_or_trip.csv")["variant"]) == set(TWO)


def test_statements_of_the_analytic_model_are_counted_and_shown_once(two):
    _, text = two
    variants, analytic = text.split("## The analytic model")
    words = "with constant gradients the trajectories coincide"
    assert (variants.count(words), analytic.count(words)) == (0, 1)
    without = sum(s.source != OURS and not s.analytic for s in statements())
    assert text.count(f" of {without} statements decided") == 2


def test_a_forecast_is_shown_where_there_is_one(tmp_path, two):
    assert FORECAST not in two[1]
    shutil.copytree(two[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / FORECAST).parent.mkdir(parents=True)
    (tmp_path / FORECAST).touch()
    assert f"]({FORECAST})" in page_over(tmp_path)


def test_what_is_undecided_is_listed_with_the_seeds_that_would_decide_it(tmp_path):
    text = page_of_trips(tmp_path, gap=0.0, spread=0.05)
    row = next(r for r in json.loads((tmp_path / "first" / "claims.json").read_bytes()) if r["verdict"] == UNDECIDED)
    needed = row["seeds_needed"] or "more than 100"
    _, unsure = text.split("## What is not known")
    assert f"- {row['statement']}: first ({row['n']} of {needed} {row['unit']})" in unsure


@pytest.mark.parametrize(("gap", "said"), [(0.015, "differs within a quarter"), (0.08, "**differs by more**")])
def test_a_comparison_for_equality_is_shown_with_its_outcome(tmp_path, gap, said):
    text = page_of_trips(tmp_path, gap=gap, spread=0.0005)
    row = next(line for line in text.splitlines() if "| the SWA average and the side trip" in line)
    assert f"| {said} (" in row


def test_the_same_reports_give_the_same_bytes(two):
    folder, _ = two
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {path.suffix for path in before} == {".md", ".csv", ".png"}
    write_index(folder, base())
    assert {path: path.read_bytes() for path in before} == before
