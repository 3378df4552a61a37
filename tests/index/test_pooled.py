"""Statements of a run that several variants make are judged by the seeds of all."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import verdict_tables as made
from omegaconf import OmegaConf
from report_tables import all_tables, by_experiment
from verdict_tables import SEEDS, base, config

from sidetrip.config import save_config
from sidetrip.experiments.alignment.verdict import between_minus_first
from sidetrip.experiments.claims import derived, measure
from sidetrip.experiments.registry import shown
from sidetrip.files import write_json
from sidetrip.index.page import Results, page, read_reports
from sidetrip.tables import write_table
from sidetrip.verdicts.equivalence_map import map_points

POOLED = {"fixed_gradient_norm", "average_is_schedule_swa", "second_order_predicts", "own_gap_is_batchnorm"}
TOLD = ("verdict", "n", "criterion", "part", "detail", "outcome", "reason")


def write_report(folder: Path, name: str, seeds: range, whole: dict[str, pd.DataFrame], **changes) -> None:
    """The report of a variant that has some of the seeds of tables."""
    settings = replace(config(**({"seeds": list(seeds)} | changes)), variant=name)
    there = {"batch_losses", "side_trips", "distances", "running_averages"}
    there |= {table for each in shown(settings) for table in tables_of(each.name)}
    tables = {
        table: rows[rows["seed"].isin(seeds)] if "seed" in rows else rows
        for table, rows in whole.items()
        if table in there
    }
    tables |= derived(tables, settings)
    for table, rows in tables.items():
        write_table(rows, folder / name / "tables" / f"{table}.csv")
    write_json(folder / name / "claims.json", measure(tables, settings))
    save_config(settings, folder / name / "config.yaml")


def tables_of(experiment: str) -> set[str]:
    return set(by_experiment()[experiment])


def as_written(folder: Path, tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """With the digits that a report keeps, by which it is decided which of two equal scores is named."""
    for name, table in tables.items():
        write_table(table, folder / "whole" / f"{name}.csv")
    return {name: pd.read_csv(folder / "whole" / f"{name}.csv") for name in tables}


def two_halves(folder: Path, whole: dict[str, pd.DataFrame], second: dict | None = None, **changes) -> Results:
    """The reports of two variants that have three and two seeds of the same tables."""
    write_report(folder, "early", range(3), whole, **changes)
    write_report(folder, "late", range(3, 5), whole, **(changes | (second or {})))
    return read_reports(folder, base())


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> tuple[Path, Results, dict[str, pd.DataFrame]]:
    """Reports of both, what the page has of them, and the tables of all seeds; to be read."""
    folder = tmp_path_factory.mktemp("reports")
    whole = all_tables(side_trips=made.side_trips(gap=0.01), **made.alignment(growth=0.06))
    return folder, two_halves(folder, whole), whole


def test_every_statement_is_judged_as_if_one_variant_had_all_seeds(tmp_path, halves):
    _, found, whole = halves
    assert [run.variants for run in found.runs] == [("early", "late")]
    rows = found.rows["early"]
    for expected in measure(as_written(tmp_path, whole), config()):
        if expected["id"].startswith(("forecast", "hindsight")):
            continue
        ((name, row),) = rows[expected["id"]].items()
        assert name == "early"
        assert {key: row.get(key) for key in TOLD} == {key: expected.get(key) for key in TOLD}
        if row["value"] is not None:
            assert row["value"] == pytest.approx(expected["value"], rel=1e-5)
    assert {rows[name]["early"]["n"] for name in POOLED} == {len(SEEDS)}


def test_the_map_is_that_of_all_seeds(halves):
    _, found, whole = halves
    expected = map_points(whole["by_point"], whole["batch_losses"], replace(config(), variant="early"))
    keys = ["kernel", "late", "window_steps"]
    pd.testing.assert_frame_equal(
        found.points.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True), rtol=1e-7
    )


def test_forecasts_are_judged_apart(halves):
    _, found, _ = halves
    assert {name: row["n"] for name, row in found.rows["early"]["forecast_covers"].items()} == {"early": 3, "late": 2}


def test_of_three_variants_those_that_measured_alike_are_judged_together(tmp_path):
    """The first by name has the last seeds; the second has other settings of its own, the third none of the first's."""
    only = {f"experiments.{name}": name in ("alignment", "divergence") for name in vars(config().experiments)}
    whole = all_tables(config(**only))
    write_report(tmp_path, "a", range(3, 5), whole, **only)
    write_report(tmp_path, "b", range(1), whole, **only, **{"alignment.steps": 5, "branch.early": [5]})
    write_report(tmp_path, "c", range(1, 3), whole, **only)
    found = read_reports(tmp_path, base())
    (run,) = found.runs
    assert run.variants == ("b", "c", "a")
    rows = found.rows["b"]
    assert {name: row["n"] for name, row in rows["average_is_schedule_swa"].items()} == {"b": 5}
    assert {name: row["n"] for name, row in rows["trips_aligned"].items()} == {"c": 4, "b": 1}
    assert rows["distance_saturates"]["c"]["n"] == 4
    assert "diverged" not in rows["distance_saturates"]["c"]["detail"]  # the seed of b is not missing there
    value = between_minus_first(whole | {"alignment": whole["alignment"].query("seed > 0")}).groupby("seed").mean()
    assert rows["trips_aligned"]["c"]["value"] == pytest.approx(value.loc[1:].mean(), rel=1e-5)
    text = page(found)
    assert re.search(r"even closer.* \| c: yes \([\d.]+; 4 seeds\) · b: \w+ \([\d.]+; 1 seed\) \|", text)
    (unsure,) = (line for line in text.splitlines() if line.startswith("- gradients of a fixed batch on two parallel"))
    assert "b (1 of more than 100 seeds)" in unsure


@pytest.mark.parametrize(
    ("second", "expected"),
    [({"experiments.curvature": False}, {"early": 3}), ({"curvature.nodes": 4}, {"early": 3, "late": 2})],
    ids=str,
)
def test_replicas_are_judged_apart_where_the_curvature_is_not_there_alike(tmp_path, second, expected):
    """And the curvature itself, which is of the one variant alone that measured it."""
    only = {f"experiments.{name}": name in ("replicas", "curvature") for name in vars(config().experiments)}
    rows = two_halves(tmp_path, all_tables(config(**only)), second, **only).rows["early"]
    for statement in ("replica_noise_predicted", "second_order_predicts"):
        assert {name: row["n"] for name, row in rows[statement].items()} == expected
    assert rows["average_is_schedule_swa"]["early"]["n"] == len(SEEDS)


def test_a_statement_that_older_reports_do_not_have_is_judged_all_the_same(tmp_path, halves):
    folder, found, _ = halves
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/claims.json"):
        rows = json.loads(path.read_bytes())
        write_json(path, [row for row in rows if row["id"] != "trips_aligned"])
    assert read_reports(tmp_path, base()).rows["early"]["trips_aligned"] == found.rows["early"]["trips_aligned"]


@pytest.mark.parametrize("key", ["fixed_gradient_cosine", "ema_newest", "shift"])
@pytest.mark.parametrize("variants", [["early"], ["late"], ["early", "late"]], ids="+".join)
def test_a_setting_that_older_reports_lack_has_the_value_of_the_base(tmp_path, halves, variants, key):
    """So a setting that is added parts no run, and no report has to be made anew for it."""
    folder, found, _ = halves
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    settings = OmegaConf.load(folder / "early" / "config.yaml")
    for path in (tmp_path / variant / "config.yaml" for variant in variants):
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line for line in lines if f" {key}:" not in line), encoding="utf-8")
    again = read_reports(tmp_path, settings)
    assert [run.variants for run in again.runs] == [("early", "late")]
    assert again.rows == found.rows


@pytest.mark.parametrize(("variants", "left"), [(["early"], 2), (["late"], 3), (["early", "late"], 0)], ids=str)
def test_a_method_that_older_reports_lack_leaves_the_others_as_they_are(tmp_path, halves, variants, left):
    folder, found, _ = halves
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for variant in variants:
        for table in (tmp_path / variant / "tables").glob("*.csv"):
            lines = pd.read_csv(table)
            if "kernel" in lines:
                write_table(lines[~lines["kernel"].astype(str).str.startswith("ema")], table)
        claims = tmp_path / variant / "claims.json"
        write_json(claims, [row for row in json.loads(claims.read_bytes()) if row["id"] != "average_is_schedule_ema"])
    again = read_reports(tmp_path, base())
    rows = again.rows["early"]
    for method in ("swa", "two_point"):
        assert rows[f"average_is_schedule_{method}"] == found.rows["early"][f"average_is_schedule_{method}"]
    assert [row["n"] for row in rows["average_is_schedule_ema"].values()] == [left]
    assert page(again)


def test_a_method_that_the_reports_of_a_run_lack_is_not_counted_there(tmp_path, halves):
    """The other run has it."""
    folder, *_ = halves
    shutil.copytree(folder / "early", tmp_path / "early")
    write_report(tmp_path, "other", range(5), halves[2], **{"burn_in.rate": 0.02})
    before = page(read_reports(tmp_path, base()))
    claims = tmp_path / "early" / "claims.json"
    write_json(claims, [row for row in json.loads(claims.read_bytes()) if row["id"] != "average_is_schedule_ema"])
    for name in ("by_point", "side_trips"):
        path = tmp_path / "early" / "tables" / f"{name}.csv"
        rows = pd.read_csv(path)
        write_table(rows[rows["kernel"] != "ema"], path)
    counted = [re.search(r"the EMA in \d of (\d)", text)[1] for text in (before, page(read_reports(tmp_path, base())))]
    assert counted == ["2", "1"]
