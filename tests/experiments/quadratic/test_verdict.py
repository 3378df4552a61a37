"""Verdicts on the analytic model, on tables whose answer is known."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from report_tables import quadratic
from scipy.stats import binom
from verdict_tables import config, verdicts

from sidetrip.experiments.quadratic import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured

GROUPS = range(20)
CLOSED = {"averaging_equals_schedule", "drag_and_drift"}
SIMULATED = {"ema_two_scales", "stationary_radius", "midpoint_inside", "stationary_covariance"}


def wobble(*key: int, scale: float = 0.01) -> float:
    return 1 + scale * float(np.random.default_rng(list(key)).standard_normal())


def two_scales(speed=1.0, end=0.002) -> pd.DataFrame:
    """Slow losses that fall exponentially to a level: the large rate's at 0.01 a step, the EMA's `speed` times that."""
    rows = []
    for group in GROUPS:
        for run, rate, level in (("large_rate", 0.01, 0.01), ("small_rate", 0.004, 0.02), ("ema", 0.01 * speed, end)):
            for step in range(0, 1601, 10):
                slow = 100 * math.exp(-rate * step * wobble(group, int(1e4 * rate), scale=0.002)) + level / 2
                rows.append((step, run, "slow", group, slow))
                rows.append((step, run, "fast", group, level / 2 * wobble(group, step)))
    return pd.DataFrame(rows, columns=["step", "run", "coordinate", "group", "loss"])


def settings():
    return config(**{"quadratic.ema_steps": 20, "quadratic.steps": 1600, "quadratic.every": 10})


def judged(**tables):
    usual = quadratic() | {"two_scales": two_scales(), "lemma_1": radii()}
    return judge_of.judge(usual | tables, settings())


def test_every_formula_that_holds_is_found_to_hold():
    """n counts groups of the simulation, or cases of a closed form."""
    found = judged()
    assert verdicts(found) == dict.fromkeys(CLOSED | SIMULATED, "reproduced")
    units = dict.fromkeys(CLOSED, "closed form") | dict.fromkeys(SIMULATED, "simulation groups")
    assert {name: row.unit for name, row in found.items()} == units
    assert "at least 1" in found["averaging_equals_schedule"].detail  # of wrong kernels
    assert found["ema_two_scales"].n == len(GROUPS)
    assert "decay per 1000 steps: EMA 10, large rate 10, small rate" in found["ema_two_scales"].detail


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"speed": 0.8}, "decay rate, EMA ÷ large rate"),
        ({"speed": 1.2}, "decay rate, EMA ÷ large rate"),
        ({"end": 0.015}, "last loss, large rate − EMA"),
    ],
)
def test_an_ema_that_is_slow_or_ends_high_is_refuted(changes, part):
    row = judged(two_scales=two_scales(**changes))["ema_two_scales"]
    assert (row.verdict, row.part) == ("not reproduced", part)


def test_a_decay_that_ends_too_soon_is_not_measured():
    short = two_scales().query("step < 60")
    found = judged(two_scales=short)["ema_two_scales"]
    assert isinstance(found, NotMeasured)
    assert "quadratic.steps" in found.reason


def test_the_lag_of_an_ema():
    assert judge_of.ema_lag(0.05 * 0.015, 1 / 450) == pytest.approx(549, abs=1)
    assert judge_of.ema_lag(1e-9, 0.1) == pytest.approx(10, rel=1e-3)  # 1/δ for a slow coordinate
    assert judge_of.ema_lag(0.2, 0.1) == math.inf


def radii(power=0.5, off=1.0) -> pd.DataFrame:
    rows = []
    for model, rate, group in product(("identity", "random"), (0.001, 0.004), GROUPS):
        square = off * (rate / (2 - rate)) ** (2 * power) * wobble(group, int(1e4 * rate))
        rows.append((model, rate, group, square, rate / (2 - rate)))
    return pd.DataFrame(rows, columns=["model", "rate", "group", "mean_square_radius", "exact"])


def test_the_radius_grows_with_the_root_of_the_rate():
    assert judge_of.radius_slopes(radii(power=0.5))["slope"].mean() == pytest.approx(0.5, abs=0.01)
    assert judged(lemma_1=radii(power=0.45))["stationary_radius"].verdict == "not reproduced"
    # The right slope at the wrong radius.
    assert judged(lemma_1=radii(off=1.2))["stationary_radius"].verdict == "not reproduced"


def test_several_intervals_hold_together():
    random, held = np.random.default_rng(0), 0
    for values in random.standard_normal((600, 5, 20)):
        held += all(judge_of.monte_carlo(row, 0.95, together=5).has(0.0) for row in values)
    assert binom.ppf(1e-6, 600, 0.95) <= held


def test_an_identity_is_judged_by_its_largest_error():
    lemma_2, drift = (quadratic()[name] for name in ("lemma_2", "drag_and_drift"))
    for worst in (1e-9, np.nan):
        wrong = {"lemma_2": lemma_2.assign(largest_difference=[1e-16, worst])}
        found = judged(**wrong, drag_and_drift=drift.assign(relative_difference=[worst, 1e-16]))
        for row in (found[name] for name in CLOSED):
            if math.isnan(worst):
                assert "defect" in row.reason
            else:
                assert (row.verdict, row.interval.value, row.interval.low) == ("not reproduced", worst, worst)


def test_a_midpoint_elsewhere_is_refuted():
    ratios = pd.DataFrame({"group": GROUPS, "ratio": [0.1 + math.sqrt(0.5) * wobble(group) for group in GROUPS]})
    assert judged(midpoint_ratios=ratios)["midpoint_inside"].verdict == "not reproduced"


@pytest.mark.parametrize(("omega", "formula"), list(product(("symmetric", "non_symmetric"), ("exact", "eq_19"))))
def test_which_covariances_are_judged(omega, formula):
    """Eq. 19 does not cover a non-symmetric Ω: that is shown, not judged."""
    table = quadratic()["appendix_a"]
    chosen = (table["omega"] == omega) & (table["formula"] == formula) & (table["kernel"] == "EMA")
    row = judged(appendix_a=table.assign(ratio=table["ratio"] + 0.5 * chosen))["stationary_covariance"]
    assert row.verdict == ("reproduced" if (omega, formula) == ("non_symmetric", "eq_19") else "not reproduced")
    assert "eq. 19 on the non-symmetric Ω" in row.detail
