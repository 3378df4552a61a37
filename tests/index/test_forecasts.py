"""The table of all kinds of forecasts, over variants."""

from dataclasses import replace

from verdict_tables import config, forecast_tables

from sidetrip.experiments.forecast.outcomes import cells, outcomes
from sidetrip.index.forecasts import HEAD, forecasts
from sidetrip.tables import write_table
from sidetrip.verdicts.wording import decay_title

CONFIGS = {"first": config(), "second": replace(config(), burn_in=replace(config().burn_in, steps=10))}


def test_a_line_for_each_kind_of_each_variant_that_has_forecasts(tmp_path):
    table = cells(outcomes(forecast_tables(), config()), config())
    write_table(table, tmp_path / "second" / "tables" / "forecast_cells.csv")
    lines = forecasts(tmp_path, CONFIGS)
    rows = [line.split(" | ") for line in lines if line.startswith("| [")]
    assert len(rows) == len(table)
    assert {len(row) for row in rows} == {len(HEAD)}
    of_linear = table.query("decay == 'linear' and correction == 'none'").iloc[0]
    (row,) = [row for row in rows if row[1] == decay_title("linear") and row[5] == "none"]
    assert row[2:5] == ["5 steps", "50 %", f"{config().burn_in.snapshot_every} steps"]
    assert row[6].startswith(f"{of_linear['covered']} of {of_linear['n']}, ")
    assert row[7] == f"{of_linear['error']:.4f}"


def test_without_forecasts_there_is_no_section(tmp_path):
    assert forecasts(tmp_path, CONFIGS) == []
