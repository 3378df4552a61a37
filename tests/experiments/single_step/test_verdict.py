"""Verdicts on one step, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import LATE, SEEDS, batch_losses, config, side_trips, single_step

from sidetrip.experiments.single_step import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

NAMES = ("single_step_floor", "single_step_gap", "single_step_rate", "quadratic_own", "batch_size_gap")
SCORES = side_trips()


def judged(curves=None, curvature=None, scores=None, settings=None, **changes):
    usual = single_step(**changes)
    tables = {
        "single_step": usual[0] if curves is None else curves,
        "curvature": usual[1] if curvature is None else curvature,
        "side_trips": SCORES if scores is None else scores,
        "batch_losses": batch_losses(),
    }
    return judge_of.judge(tables, settings or config())


def test_as_the_paper_has_it():
    found = judged()
    assert {name: row.verdict for name, row in found.items()} == dict.fromkeys(NAMES, "reproduced")
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["single_step_rate"].interval.value == pytest.approx(0.25)
    assert found["quadratic_own"].interval.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "row", "verdict"),
    [
        ({"own_drop": 0.05}, "single_step_floor", "not reproduced"),
        ({"held_drop": 0.5}, "single_step_gap", "not reproduced"),
        ({"size_effect": False}, "batch_size_gap", "undecided"),
        ({"own_drop": 0.1, "held_drop": 0.02}, "batch_size_gap", "not reproduced"),
    ],
)
def test_otherwise(changes, row, verdict):
    assert judged(**changes)[row].verdict == verdict


def test_numbers_by_hand():
    curves, curvature = single_step(own_drop=0.6, held_drop=0.02)
    best = judge_of.best_steps(curves).set_index(["seed", "batch_size", "batch"])
    own, held = best.loc[(0, 16, "own")].iloc[0], best.loc[(0, 16, "held_out")].iloc[0]
    assert (own["best_step_size"], own["relative_drop"]) == (1.0, pytest.approx(0.6))
    assert (held["best_step_size"], held["relative_drop"]) == (0.25, pytest.approx(0.02))
    fit = judge_of.parabolas(curves, curvature).iloc[0]
    assert fit["r_squared"] == pytest.approx(1.0)
    assert fit["lowest_degree"] == 2
    assert fit["valid_to"] == 2.0  # it is a parabola everywhere
    factors = judge_of.curvature_at_rate(curvature, config())
    assert factors.to_numpy() == pytest.approx(0.05 / 0.1)  # λ/(1 - μ) × gᵀHg/gᵀg = 1


def test_both_minima_are_refined():
    """Points near a minimum count for the kind of batch that they were measured on."""
    curves, _ = single_step()
    near = curves.query("step_size == 1 and batch == 'own' and range == 'wide'")
    own = near.assign(step_size=1.1, loss=near["loss"] - 0.01, range="near_own")
    held = curves.query("step_size == 0.25 and batch == 'held_out'").assign(step_size=0.2, range="near_held_out")
    held["loss"] -= 0.001
    found = judged(pd.concat([curves, own, held]))
    assert found["single_step_rate"].interval.value == pytest.approx(0.2 / 1.1)


def test_the_fit_is_on_its_own_points_alone():
    """A curve that is no parabola at the evenly spaced points, and of degree 4 there."""
    curves, curvature = single_step()
    fit = curves["range"] == "fit"
    x = curves.loc[fit, "step_size"]
    bent = curves.assign(loss=curves["loss"].where(~fit, -5 - x * (1.5 - x) * (0.6 - x) * (1.2 - x)))
    row = judged(bent, curvature)["quadratic_own"]
    assert row.verdict == "not reproduced"
    assert "median 4" in row.detail
    assert judged()["single_step_gap"] == judged(bent, curvature)["single_step_gap"]


def test_the_expansion_at_0_is_shown():
    curves, curvature = single_step()
    assert "up to 2 × the best step size" in judged(curves, curvature)["quadratic_own"].detail
    wrong = curvature.assign(curvature=3 * curvature["curvature"])
    assert "up to 0 × the best step size" in judged(curves, wrong)["quadratic_own"].detail


def test_the_run_s_own_batch_size_is_judged():
    """The largest batch drops half as far; the run's is another one."""
    usual, largest = judged(), judged(settings=config(**{"burn_in.batch_size": 32}))
    assert usual["single_step_gap"].interval.value == pytest.approx(0.02 / 0.6, rel=0.1)
    assert largest["single_step_gap"].interval.value == pytest.approx(8 * 0.02 / 0.6, rel=0.1)
    assert usual["batch_size_gap"].interval == largest["batch_size_gap"].interval  # of the smallest and the largest


def test_the_reference_is_the_best_true_average_of_late_points_on_training_batches():
    batches = SCORES["split"] == "batches"
    wrong = SCORES[batches & (SCORES["kernel"] == "ema")].assign(kernel="ema_shuffled", loss=0.01)
    early = SCORES[batches & (SCORES["kernel"] == "ema")].assign(loss=0.01)
    early = early[~early["branch"].isin(LATE)]
    usual = judged()["single_step_floor"]
    assert usual.interval.value == pytest.approx(np.mean([(1 - 0.6 * (1 - 0.01 * seed)) / 0.9 for seed in SEEDS]))
    rest = SCORES[~(batches & ~SCORES["branch"].isin(LATE))]
    assert judged(scores=pd.concat([rest, wrong, early]))["single_step_floor"] == usual
    none = judged(scores=SCORES[~batches])["single_step_floor"]
    assert none.reason == "no average was scored on training batches of the same kind"


def test_size_is_judged_without_a_ratio_and_in_two_parts():
    row = judged()["batch_size_gap"]
    assert row.verdict == "reproduced"
    assert row.part == "own − 10 × held-out drop, batch 8"
    own, held = ([drop * (1 + change * seed) for seed in SEEDS] for drop, change in ((0.6, -0.01), (0.02, 0.02)))
    assert row.interval.value == pytest.approx(np.mean(own) - 10 * np.mean(held))
    assert f"own ÷ held-out drop {np.mean(own) / np.mean(held):.3g}, " in row.detail
    flat = judged(size_effect=False)["batch_size_gap"]
    assert flat.part == "log10 ratio, batch 32 − batch 8"


def test_what_has_no_ratio_is_not_measured():
    """A held-out or an own loss that no step lowers; one batch size alone."""
    found = judged(held_drop=0.0)
    assert isinstance(found["batch_size_gap"], NotMeasured)
    assert "of seed 0, 1, 2, 3, 4" in found["batch_size_gap"].reason
    assert found["single_step_gap"].verdict == "reproduced"
    found = judged(own_drop=-0.1)
    assert {found[name].reason for name in ("single_step_gap", "single_step_rate")} == {judge_of.NO_STEP}
    curves, curvature = single_step()
    found = judged(curves.query("batch_size == 16"), curvature)
    assert "only one batch size" in found["batch_size_gap"].reason
    assert found["single_step_gap"].verdict == "reproduced"


def test_a_best_step_at_the_end_of_the_range_is_said():
    widest = config(**{"single_step.widest": 1.0, "single_step.zoom": 0.3})
    assert "largest that was tried" in judged(settings=widest)["single_step_rate"].detail
    assert "largest that was tried" not in judged()["single_step_rate"].detail


def test_other_settings_of_batchnorm_and_direction_are_left_out():
    curves, curvature = single_step()
    other = curves.assign(batchnorm="frozen", loss=5.0)
    assert judged(pd.concat([curves, other]), curvature) == judged()
