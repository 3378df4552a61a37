"""The rules, against simulation: coverage of the intervals and error rates of the tests under known truth."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, ttest_1samp, ttest_rel
from verdict_tables import config

from sidetrip.verdicts.statistics import (
    Interval,
    Measured,
    all_of,
    by_seed,
    fieller,
    judge_equal,
    judge_mean,
    judge_within,
    seeds_to_decide,
    student_interval,
)

CLAIMS = config().claims
RUNS = 2000
VALUES = st.lists(st.floats(-3, 3), min_size=3, max_size=10).map(np.array).filter(lambda x: x.std() > 1e-3)


def at_most(rate: float) -> int:
    """Failures among RUNS that a true rate exceeds once in a million times."""
    return int(binom.isf(1e-6, RUNS, rate))


def at_least(rate: float) -> int:
    return int(binom.ppf(1e-6, RUNS, rate))


def draws(n: int, noise: str) -> np.ndarray:
    random = np.random.default_rng([n, len(noise)])
    return random.standard_normal((RUNS, n)) if noise == "normal" else random.standard_t(3, (RUNS, n)) / math.sqrt(3)


@pytest.mark.parametrize("noise", ["normal", "heavy tails"])
@pytest.mark.parametrize("n", [3, 5, 8, 10])
def test_intervals_cover_the_truth(n, noise):
    found = [student_interval(1 + x, 0.95) for x in draws(n, noise)]
    covered = sum(interval.low <= 1 <= interval.high for interval in found)
    assert at_least(0.95) <= covered <= (at_most(0.95) if noise == "normal" else RUNS)


@pytest.mark.parametrize("noise", ["normal", "heavy tails"])
@pytest.mark.parametrize("n", [3, 5, 8, 10])
@pytest.mark.parametrize("truth", [0.25, -0.25])
def test_what_is_just_not_equivalent_is_rarely_called_so(n, noise, truth):
    """At the limit of a quarter of the gain, the worst case: at most the level."""
    gain = np.full(n, 1.0)
    called = sum(judge_equal(truth + 0.05 * x, gain, 0.25, CLAIMS).verdict == "reproduced" for x in draws(n, noise))
    assert called <= at_most(CLAIMS.level)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_what_is_equivalent_is_rarely_refuted(n):
    refuted = sum(
        judge_equal(0.25 + x, np.ones(n), 0.25, CLAIMS).verdict == "not reproduced" for x in draws(n, "normal")
    )
    assert refuted <= at_most(CLAIMS.level / 2)


def test_equivalence_is_found_with_the_power_that_the_seeds_promise():
    gap = 0.1 + 0.1 * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    needed = judge_equal(gap, np.ones(5), 0.25, CLAIMS).seeds_needed
    assert 3 <= needed <= 20
    spread = gap.std(ddof=1)
    random = np.random.default_rng(0)
    trials = 0.1 + spread * random.standard_normal((RUNS, needed))
    found = sum(judge_equal(x, np.ones(needed), 0.25, CLAIMS).verdict == "reproduced" for x in trials)
    assert found >= at_least(CLAIMS.power)


@pytest.mark.parametrize("n", [4, 8])
def test_fieller_covers_the_ratio(n):
    random = np.random.default_rng(n)
    covered = 0
    for _ in range(RUNS):
        bottom = 2 + 0.5 * random.standard_normal(n)
        top = 1 + 0.5 * random.standard_normal(n) + 0.2 * (bottom - 2)
        found = fieller(top, bottom, 0.95)
        covered += found.low <= 0.5 <= found.high
    assert at_least(0.95) <= covered <= at_most(0.95) + 5


@given(VALUES, st.floats(-2, 2))
def test_fieller_is_the_set_of_ratios_that_a_t_test_keeps(bottom, shift):
    bottom = bottom + 20
    top = np.sin(7 * bottom) + shift * bottom / 10
    found = fieller(top, bottom, 0.95)
    assert found.bounded
    for end in (found.low, found.high):
        assert ttest_1samp(top - end * bottom, 0.0).pvalue == pytest.approx(0.05, abs=1e-4)


def test_a_gain_that_may_be_nothing_leaves_the_ratio_unbounded():
    gain = np.array([-1.0, 1.2, 0.1])
    assert not fieller(np.ones(3), gain, 0.95).bounded
    assert judge_equal(np.zeros(3), gain, 0.25, CLAIMS).verdict == "undecided"


def test_a_loss_in_place_of_a_gain_is_never_equivalent():
    random = np.random.default_rng(3)
    gap, gain = 0.01 * random.standard_normal(6), -1 + 0.01 * random.standard_normal(6)
    assert judge_equal(gap, gain, 0.25, CLAIMS).verdict != "reproduced"
    assert judge_equal(gap + 1, gain, 0.25, CLAIMS).verdict == "not reproduced"


@given(VALUES, st.floats(-2, 2))
def test_a_mean_is_judged_by_its_interval(values, limit):
    found = judge_mean(values, CLAIMS, below=limit)
    expected = (
        "reproduced" if found.interval.high < limit else "not reproduced" if found.interval.low > limit else "undecided"
    )
    assert found.verdict == expected
    mirrored = judge_mean(-values, CLAIMS, above=-limit)
    assert mirrored.verdict == found.verdict
    assert mirrored.interval == Interval(-found.interval.value, -found.interval.high, -found.interval.low)


@given(VALUES)
def test_the_tests_are_those_of_scipy(values):
    found = judge_within(values, np.full(len(values), 0.5), CLAIMS)
    upper = ttest_1samp(values, 0.5, alternative="less").pvalue
    lower = ttest_1samp(values, -0.5, alternative="greater").pvalue
    assert found.p_holds == pytest.approx(max(upper, lower), abs=1e-9)
    paired = ttest_rel(values, np.zeros(len(values))).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((paired.low, paired.high))


def test_one_seed_decides_nothing():
    for found in (judge_mean(np.array([5.0]), CLAIMS, above=0.0), judge_equal(np.zeros(1), np.ones(1), 0.25, CLAIMS)):
        assert found.verdict == "undecided"
        assert not found.interval.bounded


def test_values_without_spread_decide():
    assert judge_mean(np.full(3, 0.1), CLAIMS, below=0.2).verdict == "reproduced"
    assert judge_mean(np.full(3, 0.3), CLAIMS, below=0.2).verdict == "not reproduced"
    assert judge_equal(np.zeros(3), np.ones(3), 0.25, CLAIMS).verdict == "reproduced"


def test_the_seed_is_the_unit():
    index = pd.MultiIndex.from_tuples([(0, 20), (0, 30), (1, 20), (1, 30)], names=["seed", "branch"])
    values = pd.Series([1.0, 3.0, 5.0, np.nan], index)
    assert by_seed(values).to_dict() == {0: 2.0, 1: 5.0}


def test_more_spread_needs_more_seeds_and_beyond_a_hundred_none_is_named():
    values = np.array([0.9, 1.0, 1.1, 1.3])
    few, many = (seeds_to_decide(1 + scale * (values - 1.075), 0.5, 0.05, 0.8) for scale in (1.0, 4.0))
    assert few < many
    assert seeds_to_decide(values, float(values.mean()) + 1e-6, 0.05, 0.8) is None


def part(verdict: str, p_holds: float, p_fails: float, needed: int | None = 7) -> Measured:
    return Measured(Interval(p_holds, 0, 1), 5, verdict, p_holds, p_fails, seeds_needed=needed)


def test_all_of_its_parts():
    good, better = part("reproduced", 0.03, 1.0), part("reproduced", 0.001, 1.0)
    unsure, bad = part("undecided", 0.4, 0.3, 12), part("not reproduced", 1.0, 0.001)
    holds = all_of({"a": better, "b": good}, 0.05)
    assert (holds.verdict, holds.part, holds.interval.value) == ("reproduced", "b", 0.03)
    open_ = all_of({"a": good, "b": unsure}, 0.05)
    assert (open_.verdict, open_.part, open_.seeds_needed) == ("undecided", "b", 12)
    assert all_of({"a": unsure, "b": part("undecided", 0.2, 0.4, None)}, 0.05).seeds_needed is None
    fails = all_of({"a": good, "b": unsure, "c": bad}, 0.05)
    assert (fails.verdict, fails.part) == ("not reproduced", "c")


def test_holm_asks_more_of_one_failure_among_many():
    barely = part("not reproduced", 1.0, 0.03)
    assert all_of({"a": barely}, 0.05).verdict == "not reproduced"
    assert all_of({"a": barely, "b": part("undecided", 0.5, 0.5)}, 0.05).verdict == "undecided"


def test_all_of_four_true_parts_is_rarely_refuted():
    random = np.random.default_rng(9)
    refuted = 0
    for _ in range(RUNS):
        parts = {str(i): judge_mean(random.standard_normal(5), CLAIMS, below=0.0) for i in range(4)}
        refuted += all_of(parts, CLAIMS.level).verdict == "not reproduced"
    assert refuted <= at_most(CLAIMS.level)
