"""Verdicts on one step, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import SEEDS, batch_losses, config, single_step, verdicts

from sidetrip.experiments.single_step import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

NAMES = {"single_step_floor", "single_step_gap", "single_step_rate", "quadratic_own", "low_degree_own"}
NAMES |= {"batch_size_gap", "own_gap_is_batchnorm"}


def judged(settings=None, tables=None, **changes):
    tables = {**single_step(**changes), **(tables or {}), "batch_losses": batch_losses()}
    return judge_of.judge(tables, settings or config())


def test_as_the_paper_has_it():
    found = judged()
    assert verdicts(found) == dict.fromkeys(NAMES, "reproduced")
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["single_step_rate"].interval.value == pytest.approx(0.25)
    assert found["single_step_floor"].interval.value == pytest.approx(np.mean([(0.4 + 0.006 * s) / 0.9 for s in SEEDS]))
    for row in ("quadratic_own", "low_degree_own"):
        assert found[row].interval.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "row", "verdict"),
    [
        ({"own_drop": 0.05}, "single_step_floor", "not reproduced"),
        ({"held_drop": 0.5}, "single_step_gap", "not reproduced"),
        ({"frozen_drop": 0.0}, "own_gap_is_batchnorm", "not measured"),
        ({"frozen_start": 1.0}, "own_gap_is_batchnorm", "not measured"),  # frozen or not is one: there is no BatchNorm
        ({"held_drop": 0.3}, "own_gap_is_batchnorm", "not reproduced"),  # half of the own drop, frozen a quarter
        ({"size_effect": False}, "batch_size_gap", "undecided"),
        ({"own_drop": 0.1, "held_drop": 0.02}, "batch_size_gap", "not reproduced"),
    ],
)
def test_otherwise(changes, row, verdict):
    assert verdicts(judged(**changes))[row] == verdict


def test_numbers_by_hand():
    tables = single_step(own_drop=0.6, held_drop=0.02)
    best = judge_of.best_steps(judge_of.paper_setting(tables["single_step"])).set_index(["seed", "batch_size", "batch"])
    own, held = best.loc[(0, 16, "own")].iloc[0], best.loc[(0, 16, "held_out")].iloc[0]
    assert (own["best_step_size"], own["relative_drop"]) == (1.0, pytest.approx(0.6))
    assert (held["best_step_size"], held["relative_drop"]) == (0.25, pytest.approx(0.02))
    fit = judge_of.parabolas(tables["single_step"], tables["curvature"]).iloc[0]
    assert fit["lowest_degree"] == 2
    assert fit["valid_to"] == 2.0  # it is a parabola everywhere
    factors = judge_of.curvature_at_rate(tables["curvature"], config())
    assert factors.to_numpy() == pytest.approx(0.05 / 0.1)  # λ/(1 - μ) × gᵀHg/gᵀg = 1


def test_both_minima_are_refined():
    """Points near a minimum count for the kind of batch that they were measured on."""
    curves = single_step()["single_step"]
    near = curves.query("step_size == 1 and batch == 'own' and range == 'wide'")
    own = near.assign(step_size=1.1, loss=near["loss"] - 0.01, range="near_own")
    held = curves.query("step_size == 0.25 and batch == 'held_out'").assign(step_size=0.2, range="near_held_out")
    held["loss"] -= 0.001
    found = judged(tables={"single_step": pd.concat([curves, own, held])})
    assert found["single_step_rate"].interval.value == pytest.approx(0.2 / 1.1)


def bent(curve) -> dict[str, pd.DataFrame]:
    """The evenly spaced points of own batches along another curve."""
    table = single_step()["single_step"]
    fit = table["range"] == "fit"
    return {"single_step": table.assign(loss=table["loss"].where(~fit, curve(table["step_size"])))}


@pytest.mark.parametrize(
    ("curve", "degree", "below"),
    [
        (lambda x: 2 - 3 * x + x**3, 3, {"quadratic_own"}),
        (lambda x: -5 - x * (1.5 - x) * (0.6 - x) * (1.2 - x), 4, {"quadratic_own", "low_degree_own"}),
    ],
)
def test_nearly_quadratic_and_of_low_degree_are_two_rows_of_evenly_spaced_points_alone(curve, degree, below):
    """Of a polynomial of degree 3 a cubic leaves nothing."""
    usual, found = judged(), judged(tables=bent(curve))
    for row, fitted in (("quadratic_own", 2), ("low_degree_own", 3)):
        if row in below:
            assert found[row].interval.value < 0.99
        else:
            assert found[row].interval.value == pytest.approx(1.0)
        x = np.linspace(0, 1.5, 9)
        rest = curve(x) - np.polyval(np.polyfit(x, curve(x), fitted), x)
        assert found[row].interval.value == pytest.approx(1 - rest.var() / curve(x).var())
    assert f"median {degree}" in found["quadratic_own"].detail
    assert usual["single_step_gap"] == found["single_step_gap"]


def test_the_expansion_at_0_is_shown():
    usual = single_step()["curvature"]
    assert "up to 2 × the best step size" in judged()["quadratic_own"].detail
    wrong = usual.assign(curvature=3 * usual["curvature"])
    assert "up to 0 × the best step size" in judged(tables={"curvature": wrong})["quadratic_own"].detail


def test_the_run_s_own_batch_size_is_judged():
    """The largest batch drops half as far, and held-out batches four times as far; the run's is another one."""
    table = single_step()["single_step"]
    moved = table.assign(batch_size=table["batch_size"].where(table["range"] != "near_parabola", 32))
    usual, largest = judged(), judged(config(**{"burn_in.batch_size": 32}), {"single_step": moved})
    assert usual["single_step_gap"].interval.value == pytest.approx(0.02 / 0.6, rel=0.1)
    assert largest["single_step_gap"].interval.value == pytest.approx(8 * 0.02 / 0.6, rel=0.1)
    own, held = ([drop * (1 + change * seed) for seed in SEEDS] for drop, change in ((0.6, -0.01), (0.02, 0.02)))
    row = usual["batch_size_gap"]
    assert row.part == "own − 10 × held-out drop, batch 16"
    assert row.interval.value == pytest.approx(np.mean(own) - 10 * np.mean(held))
    assert "at batch 8, " in row.detail and "at batch 32" in row.detail
    assert (largest["batch_size_gap"].verdict, largest["batch_size_gap"].interval.value) == (
        "not reproduced",
        pytest.approx(0.5 * np.mean(own) - 40 * np.mean(held)),
    )
    assert judged(size_effect=False)["batch_size_gap"].part == "log10 ratio, batch 32 − batch 8"


def test_a_floor_is_below_the_decayed_run_of_its_seed():
    lower = single_step()["decayed_run"].assign(loss=[0.3, *[0.9] * 4])
    usual, found = (judged(tables=tables)["single_step_floor"] for tables in ({}, {"decayed_run": lower}))
    assert found.interval.value - usual.interval.value == pytest.approx((0.4 / 0.3 - 0.4 / 0.9) / 5)
    one = judged(tables={"decayed_run": lower.assign(loss=[np.nan, *[0.9] * 4])})["single_step_floor"]
    assert (one.verdict, one.detail) == ("not reproduced", "the decayed run of 1 of 5 seeds diverged")
    lost = lower.assign(loss=np.nan)
    assert isinstance(judged(tables={"decayed_run": lost})["single_step_floor"], NotMeasured)


def test_what_has_no_ratio_is_not_measured():
    """A held-out or an own loss that no step lowers; one batch size alone."""
    found = judged(held_drop=0.0)
    assert "of seed 0, 1, 2, 3, 4" in found["batch_size_gap"].reason
    assert found["single_step_gap"].verdict == "reproduced"
    found = judged(own_drop=-0.1)
    assert {found[name].reason for name in ("single_step_gap", "single_step_rate")} == {judge_of.NO_STEP}
    found = judged(tables={"single_step": single_step()["single_step"].query("batch_size == 16")})
    assert "add another" in found["batch_size_gap"].reason
    assert found["single_step_gap"].verdict == "reproduced"


def test_a_best_step_at_the_end_of_the_range_is_said():
    widest = config(**{"single_step.widest": 1.0, "single_step.zoom": 0.3})
    assert "largest that was tried" in judged(widest)["single_step_rate"].detail
    assert "largest that was tried" not in judged()["single_step_rate"].detail


def test_frozen_statistics_and_other_directions_enter_the_row_on_batchnorm_alone():
    usual, whole = single_step()["single_step"], judged()
    row = whole["own_gap_is_batchnorm"]
    shares = [0.02 * (1 + 0.02 * seed) / (0.6 * (1 - 0.01 * seed)) for seed in SEEDS]
    assert row.interval.value == pytest.approx(0.25 - np.mean(shares))
    for column, value, changed in (("batchnorm", "frozen", {"own_gap_is_batchnorm"}), ("direction", "momentum", set())):
        moved = usual.assign(loss=usual["loss"] + usual["step_size"] * (usual[column] == value))
        found = judged(tables={"single_step": moved})
        assert {name for name in NAMES if found[name] != whole[name]} == changed
