"""The index over all variants, and the map's table and picture beside it."""

from dataclasses import replace

import pandas as pd
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.claims import measure
from sidetrip.files import write_json
from sidetrip.report.index import write_index
from sidetrip.tables import write_table


def reports(folder, *variants):
    """Committed reports of variants that are alike but for their names."""
    for variant in variants:
        settings = replace(config(), variant=variant)
        tables = all_tables(settings)
        write_json(folder / variant / "claims.json", measure(tables, settings))
        write_table(tables["equivalence_map"], folder / variant / "tables" / "equivalence_map.csv")
    write_index(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_one_column_for_each_variant(tmp_path):
    text = reports(tmp_path, "first", "second")
    assert "| statement | source | [first](first/README.md) | [second](second/README.md) |" in text
    row = next(line for line in text.splitlines() if "on a held-out training batch only small steps help" in line)
    assert row.count("yes (") == 2
    assert "- [first](first/README.md): λ ÷ batch size 3.1e-03, widest SWA window 50.0% of the branch step" in text


def test_the_map_covers_all_variants(tmp_path):
    text = reports(tmp_path, "first", "second")
    assert "](equivalence_map.png)" in text
    assert (tmp_path / "equivalence_map.png").stat().st_size > 0
    assert set(pd.read_csv(tmp_path / "equivalence_map.csv")["variant"]) == {"first", "second"}
    assert "- SWA: at windows up to 10 % of the branch step, equal at" in text


def test_the_same_reports_give_the_same_bytes(tmp_path):
    reports(tmp_path / "a", "first")
    reports(tmp_path / "b", "first")
    for name in ("README.md", "equivalence_map.png", "equivalence_map.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
