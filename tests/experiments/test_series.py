"""The curves that `dvc plots` shows, of tables known by hand; and what dvc.yaml says of curves and figures."""

import json
from copy import copy
from pathlib import Path

import pandas as pd
import pytest
import yaml
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.registry import shown
from sidetrip.experiments.series import STRETCHES, averages_and_trips, main_trajectory, one_step, series
from sidetrip.experiments.single_step.verdict import paper_setting

ROOT = Path(__file__).parents[2]
STAGE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["figures"]


def test_the_main_trajectory_is_shown_in_stretches_by_their_last_steps():
    last = 2 * STRETCHES + 2  # three steps a stretch, one in the last
    steps = range(1, last + 1)
    rows = [(seed, step, 0.1, step + seed) for seed in (0, 1) for step in steps]
    found = main_trajectory(pd.DataFrame(rows, columns=["seed", "step", "rate", "batch_loss"]))
    assert list(found["step"]) == [*range(3, last, 3), last]
    assert list(found["loss"]) == [*(step - 1 + 0.5 for step in range(3, last, 3)), last + 0.5]
    assert set(found["series"]) == {"batches of the run"}
    short = main_trajectory(pd.DataFrame({"seed": 0, "step": [1, 2, 3], "batch_loss": [3.0, 2.0, 1.0]}))
    assert short[["step", "loss"]].to_numpy().tolist() == [[1, 3.0], [2, 2.0], [3, 1.0]]


def test_one_step_is_the_mean_over_seeds_and_own_batches(tables):
    table = tables["single_step"]
    found = one_step(table, 30, 16).query("series == 'batch of the step'").set_index("step_size")["loss"]
    rows = paper_setting(table).query("branch == 30 and batch_size == 16 and batch == 'own' and range == 'wide'")
    expected = rows.groupby("step_size")["loss"].mean()
    common = found.index.intersection(expected.index)
    assert len(common) > 2
    assert list(found[common]) == pytest.approx(list(expected[common]))


def test_averages_and_trips_are_means_over_seeds_and_late_branch_points(tables):
    by_point = tables["by_point"]
    found = averages_and_trips(by_point)
    assert {name.partition(": ")[2] for name in found["series"]} == {"momentary model", "average", "side trip"}
    row = found[found["series"] == "SWA: side trip"].iloc[-1]
    window = row["window_steps"]
    rows = by_point.query("kernel == 'swa' and late and split == 'validation' and metric == 'loss'")
    assert row["loss"] == pytest.approx(rows.loc[rows["window_steps"] == window, "trip"].mean())


def test_trips_that_diverged_leave_a_gap():
    by_point = all_tables()["by_point"]
    by_point.loc[by_point["kernel"] == "ema", "trip"] = float("nan")
    assert "EMA: side trip" not in set(averages_and_trips(by_point)["series"])


def test_dvc_yaml_names_every_table_with_columns_that_it_has_and_a_template_that_is_there(tables):
    plots = {Path(path).stem: look for plot in STAGE["plots"] for path, look in plot.items() if path.endswith(".csv")}
    found = series(tables, config())
    assert plots.keys() == found.keys()
    for name, look in plots.items():
        assert {look["x"], look["y"], "series"} == set(found[name].columns)
        template = (ROOT / ".dvc" / "plots" / f"{look['template']}.json").read_text(encoding="utf-8")
        assert "<DVC_METRIC_DATA>" in json.loads(template)["data"].values()


class Noted:
    """An object whose attributes are noted as they are read."""

    def __init__(self, whole: object) -> None:
        self.whole, self.read = whole, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.whole, name)


def test_figures_read_the_thresholds_that_their_stage_declares(tables):
    """So that an edit of a threshold draws figures anew where they show it, and only there."""
    settings = copy(config())
    noted = Noted(settings.claims)
    object.__setattr__(settings, "claims", noted)
    assert all(each.part("figure").draw(tables, settings) for each in shown(settings))
    assert series(tables, settings)
    (declared,) = STAGE["params"][0].values()
    assert {f"claims.{name}" for name in noted.read} == {key for key in declared if key.startswith("claims")}
