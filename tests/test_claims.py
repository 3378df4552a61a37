"""Verdicts follow from the numbers, on tables whose answer is known by hand."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import along_table, divergence_tables, line_table, smoke_config

from sidetrip.verdicts.side_trips import average_is_schedule
from sidetrip.verdicts.rows import measure
from sidetrip.verdicts.single_step import best_steps, parabolas
from sidetrip.verdicts.statistics import verdict
from sidetrip.experiments import analytic_model


@pytest.mark.parametrize(
    ("low", "high", "limits", "expected"),
    [
        (0.1, 0.2, {"below": 0.25}, "reproduced"),
        (0.3, 0.4, {"below": 0.25}, "not reproduced"),
        (0.2, 0.3, {"below": 0.25}, "undecided"),
        (0.99, 0.999, {"above": 0.98}, "reproduced"),
        (0.9, 0.97, {"above": 0.98}, "not reproduced"),
        (-0.1, 0.1, {"below": 0.25, "above": -0.25}, "reproduced"),
        (-0.5, -0.3, {"below": 0.25, "above": -0.25}, "not reproduced"),
        (-0.3, 0.3, {"below": 0.25, "above": -0.25}, "undecided"),
        (-math.inf, math.inf, {"below": 1.0}, "undecided"),
    ],
)
def test_verdict(low, high, limits, expected):
    assert verdict(low, high, **limits) == expected


def single_step_table(held_out_best: float, own_best: float = 1.0) -> pd.DataFrame:
    """Exact parabolas: own loss 1 → 0.2 at its best step, held-out 1 → 0.99 at its own."""
    rows = []
    for seed, branch, size in itertools.product((0, 1), (20, 30), (16, 64)):
        key = (seed, branch, size, "gradient", "batch")
        for x in np.linspace(0, 2, 21):
            own = 0.2 + 0.8 * (x / own_best - 1) ** 2
            held = 0.99 + 0.01 * (x / held_out_best - 1) ** 2
            rows.append((*key, x, "own", 0, own))
            rows += [(*key, x, "held_out", i, held + d) for i, d in ((1, -0.1), (2, 0.1))]
    keys = ["seed", "branch", "batch_size", "direction", "batchnorm"]
    return pd.DataFrame(rows, columns=[*keys, "step_size", "batch", "index", "loss"])


def curvature_table(curvature: float = 1.6) -> pd.DataFrame:
    """Slope and curvature of the own curves of `single_step_table`."""
    pairs = itertools.product((0, 1), (20, 30), (16, 64))
    rows = [(seed, branch, size, "gradient", "batch", 1.0, -1.6, curvature) for seed, branch, size in pairs]
    keys = ["seed", "branch", "batch_size", "direction", "batchnorm"]
    return pd.DataFrame(rows, columns=[*keys, "loss", "slope", "curvature"])


def side_trips_table(average: float, trip: float, momentary: float = 1.0) -> pd.DataFrame:
    rows = []
    for seed in (0, 1):
        for branch in (20, 30):
            for split in ("train", "validation"):
                noise = 0.001 * (seed + branch)
                rows.append((seed, branch, "none", 10, "momentary", split, momentary + noise, 0.5, False))
                for kernel in ("swa", "two_point", "ema"):
                    rows.append((seed, branch, kernel, 10, "average", split, average + noise, 1.5 - average, False))
                    rows.append((seed, branch, kernel, 10, "trip", split, trip + noise, 1.5 - trip, False))
    columns = ["seed", "branch", "kernel", "window_steps", "model", "split", "loss", "accuracy", "diverged"]
    return pd.DataFrame(rows, columns=columns)


@cache
def other_tables() -> dict[str, pd.DataFrame]:
    """Everything that the rows under test do not rest on."""
    return {
        **divergence_tables(),
        **analytic_model.measure(smoke_config().quadratic, torch.device("cpu")),
        "fixed_batch": line_table(np.full(11, 0.02)),
        "alignment": along_table(np.full(30, 2.0), np.full(30, 0.8)),
        "curvature": curvature_table(),
    }


def judged(single_step: pd.DataFrame, side_trips: pd.DataFrame, **changes: object) -> dict:
    tables = {**other_tables(), "single_step": single_step, "side_trips": side_trips}
    return {row["id"]: row for row in measure(tables, smoke_config(**changes))}


def test_best_steps_by_hand():
    best = best_steps(single_step_table(held_out_best=0.3)).query("batch_size == 16 and seed == 0 and branch == 20")
    found = best.set_index("batch")[["best_step_size", "lowest", "start", "relative_drop"]]
    assert found.loc["own"].tolist() == pytest.approx([1.0, 0.2, 1.0, 0.8])
    assert found.loc["held_out"].tolist() == pytest.approx([0.3, 0.99, 1.0, 0.01])


def test_a_parabola_fits_itself():
    found = parabolas(single_step_table(0.3), curvature_table())
    assert found["r_squared"].min() == pytest.approx(1.0)
    assert set(found["lowest_degree"]) == {2}
    assert set(found["valid_to"]) == {2.0}
    # With twice the curvature the parabola is 0.8 x² too high: 5 % off 0.2 + 0.8 (x - 1)² between 0.2 and 0.3.
    assert parabolas(single_step_table(0.3), curvature_table(3.2))["valid_to"].unique() == pytest.approx([0.2])


def test_claims_on_the_paper_s_side():
    rows = judged(single_step_table(held_out_best=0.3), side_trips_table(average=0.8, trip=0.81))
    assert rows["single_step_floor"]["value"] == pytest.approx(
        (0.2 / 0.82 + 0.2 / 0.821) / 2, rel=1e-5
    )  # each seed's own best average
    assert rows["single_step_gap"]["value"] == pytest.approx(0.0125)
    assert rows["single_step_rate"]["value"] == pytest.approx(0.3)
    assert rows["average_is_schedule_swa"]["value"] == pytest.approx(0.05, rel=1e-4)
    assert rows["averaging_helps"]["value"] == pytest.approx(0.2)
    for name in (
        "single_step_floor",
        "single_step_gap",
        "single_step_rate",
        "quadratic_own",
        "averaging_helps",
        "average_is_schedule_swa",
        "average_is_schedule_two_point",
        "average_is_schedule_ema",
    ):
        assert rows[name]["verdict"] == "reproduced", name
        assert rows[name]["n"] == 4


def test_claims_on_the_other_side():
    rows = judged(single_step_table(held_out_best=0.9), side_trips_table(average=1.1, trip=1.3))
    for name in ("single_step_rate", "averaging_helps", "average_is_schedule_swa"):
        assert rows[name]["verdict"] == "not reproduced", name


def test_a_diverged_trip_is_not_equivalent():
    table = side_trips_table(average=0.8, trip=0.8)
    lost = (table["model"] == "trip") & (table["kernel"] == "swa") & (table["seed"] == 0) & (table["branch"] == 20)
    table.loc[lost, ["loss", "accuracy"]] = np.nan
    rows = judged(single_step_table(0.3), table)
    assert rows["average_is_schedule_swa"]["verdict"] == "not reproduced"
    assert rows["average_is_schedule_swa"]["n"] == 3
    assert rows["average_is_schedule_ema"]["verdict"] == "reproduced"


def test_what_is_not_measured_says_why():
    rows = judged(single_step_table(0.3), side_trips_table(0.8, 0.8))
    assert {row["verdict"] == "not measured" for row in rows.values() if "reason" in row} == {True}
    assert rows["cosine_run"]["value"] is None
    assert [name for name, row in rows.items() if row["verdict"] == "not measured"] == ["cosine_run"]


def test_a_cosine_run_carries_its_row():
    rows = judged(single_step_table(0.3), side_trips_table(0.8, 0.81), **{"burn_in.schedule": "cosine"})
    assert rows["cosine_run"]["verdict"] == "reproduced"


def test_a_wrong_kernel_is_not_equivalent():
    table = side_trips_table(average=0.8, trip=0.8)
    wrong = table[(table["kernel"] == "ema") & (table["model"] == "average")].assign(kernel="ema_reversed")
    table = pd.concat([table, wrong.assign(loss=wrong["loss"] + 0.15, accuracy=wrong["accuracy"] - 0.15)])
    claims = smoke_config().claims
    assert average_is_schedule(table, "ema", claims).verdict == "reproduced"
    assert average_is_schedule(table, "ema", claims, "ema_reversed").verdict == "not reproduced"


def test_statements_about_trips_by_hand():
    rows = judged(single_step_table(0.3), side_trips_table(0.8, 0.78))
    assert rows["midpoint_tracks_half_rate"]["value"] == pytest.approx(0.02 / 0.2, rel=1e-4)
    assert rows["midpoint_distance"]["value"] == pytest.approx(2 / 3, rel=1e-4)
    for name in ("midpoint_tracks_half_rate", "midpoint_distance", "distance_saturates", "fixed_batch_basin"):
        assert rows[name]["verdict"] == "reproduced", name
