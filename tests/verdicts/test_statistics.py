"""The rules, against tests of scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student
from verdict_tables import config

from sidetrip.verdicts.statistics import (
    MOST_SEEDS,
    Interval,
    Measured,
    NotMeasured,
    all_of,
    by_seed,
    failed,
    fieller,
    holm,
    judge_equal,
    judge_mean,
    judge_seeds,
    p_above_zero,
    seeds_to_decide,
    student_interval,
)

CLAIMS = config().claims
VALUES = st.lists(st.floats(-3, 3), min_size=3, max_size=10).map(np.array).filter(lambda x: x.std() > 1e-3)


# Intervals


@given(VALUES, st.sampled_from([0.8, 0.95]))
def test_interval_and_p_value_are_those_of_scipy(values, confidence):
    expected = ttest_1samp(values, 0.0).confidence_interval(confidence)
    found = student_interval(values, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert p_above_zero(values) == pytest.approx(ttest_1samp(values, 0.0, alternative="greater").pvalue, abs=1e-9)


@given(VALUES, st.floats(-2, 2))
def test_fieller_is_the_set_of_ratios_that_a_t_test_keeps(bottom, shift):
    bottom = bottom + 20
    top = np.sin(7 * bottom) + shift * bottom / 10
    found = fieller(top, bottom, 0.95)
    assert found.bounded
    for end in (found.low, found.high):
        assert ttest_1samp(top - end * bottom, 0.0).pvalue == pytest.approx(0.05, abs=1e-4)


@given(VALUES, st.floats(-1, 1))
def test_a_ratio_is_unbounded_where_the_gain_is_not_clear_of_0(gain, shift):
    gain = gain + shift
    found = fieller(np.cos(gain), gain, 0.95)
    assert found.bounded == (not student_interval(gain, 0.95).has(0.0))


# A criterion on a mean


@given(VALUES, st.floats(-2, 2), st.sampled_from([0.1, 1.0]))
def test_a_mean_is_judged_by_the_interval_that_is_shown(values, middle, reach):
    low, high = middle - reach, middle + reach
    one = judge_mean(values, CLAIMS, below=high)
    shown = student_interval(values, CLAIMS.confidence)
    assert one.interval == shown
    inside, outside = shown.high < high, shown.low > high
    assert one.verdict == ("reproduced" if inside else "not reproduced" if outside else "undecided")
    mirrored = judge_mean(-values, CLAIMS, above=-high)
    assert mirrored.verdict == one.verdict
    assert mirrored.interval == Interval(-shown.value, -shown.high, -shown.low)
    inside, outside = low < shown.low and shown.high < high, shown.low > high or shown.high < low
    both = judge_mean(values, CLAIMS, below=high, above=low)
    assert both.verdict == ("reproduced" if inside else "not reproduced" if outside else "undecided")


def test_values_without_spread_decide():
    assert judge_mean(np.full(3, 0.1), CLAIMS, below=0.2).verdict == "reproduced"
    assert judge_mean(np.full(3, 0.3), CLAIMS, below=0.2).verdict == "not reproduced"
    assert judge_mean(np.full(3, 0.2), CLAIMS, below=0.2).verdict == "undecided"
    assert judge_equal(np.zeros(3), np.ones(3), 0.25, CLAIMS).verdict == "reproduced"
    assert judge_equal(np.full(3, 0.3), np.ones(3), 0.25, CLAIMS).verdict == "not reproduced"


def test_one_seed_decides_nothing():
    for found in (judge_mean(np.array([5.0]), CLAIMS, above=0.0), judge_equal(np.zeros(1), np.ones(1), 0.25, CLAIMS)):
        assert (found.verdict, found.n, found.seeds_needed) == ("undecided", 1, None)
        assert not found.interval.bounded


def test_no_values_and_no_numbers_are_errors_of_the_judge():
    with pytest.raises(ValueError, match="no values"):
        judge_mean(np.array([]), CLAIMS, below=1.0)
    with pytest.raises(ValueError, match="no values"):
        judge_equal(np.array([]), np.array([]), 0.25, CLAIMS)
    for odd in (math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot judge"):
            judge_mean(np.array([1.0, odd]), CLAIMS, below=1.0)


# Equal within a share of the gain


@given(VALUES, VALUES, st.floats(-3.0, 3.0))
def test_equality_is_two_one_sided_tests_and_a_gain_clear_of_0(gap, gain, shift):
    n = min(len(gap), len(gain))
    gap, gain = 0.1 * gap[:n], gain[:n] + shift
    if gap.std() < 1e-4 or gain.std() < 1e-4:
        return
    upper = ttest_1samp(gap - 0.25 * gain, 0.0, alternative="less").pvalue
    lower = ttest_1samp(gap + 0.25 * gain, 0.0, alternative="greater").pvalue
    found = judge_equal(gap, gain, 0.25, CLAIMS)
    clear = student_interval(gain, CLAIMS.confidence).low > 0
    assert (found.verdict == "reproduced") == (max(upper, lower) < CLAIMS.level and clear)
    # Beyond both limits, whatever the sign of the gain, on one side or the other.
    above, below = (
        max(ttest_1samp(sign * gap - side * gain, 0.0, alternative="greater").pvalue for side in (0.25, -0.25))
        for sign in (1, -1)
    )
    assert (found.verdict == "not reproduced") == (2 * min(above, below) < CLAIMS.level)
    if max(upper, lower) < CLAIMS.level:  # two passes leave a gain that is above 0 at the same level
        assert p_above_zero(gain) < CLAIMS.level
    assert found.ratio.bounded or found.verdict != "reproduced"
    same = student_interval(gap, CLAIMS.confidence).has(0.0)
    outcomes = {"reproduced": "equal" if same else "differs within a quarter", "not reproduced": "differs"}
    assert found.outcome == outcomes.get(found.verdict, "not known")
    assert ("differs from 0" in found.detail) == (found.outcome == "not known" and not same)


def test_a_gain_that_may_be_nothing_shows_nothing_equal():
    gain = np.array([-1.0, 1.2, 0.1])
    found = judge_equal(np.zeros(3), gain, 0.25, CLAIMS)
    assert (found.verdict, found.ratio.bounded) == ("undecided", False)
    # Both tests pass at 5 %, but the 95 % interval of the gain has 0 in it.
    barely = np.array([0.2, 1.0, 0.6, 0.15, 0.05])
    assert p_above_zero(barely) < CLAIMS.level
    found = judge_equal(np.zeros(5), barely, 0.25, CLAIMS)
    assert (found.verdict, found.detail) == ("undecided", "the gain is not clear of 0")
    assert found.p_holds >= CLAIMS.level


# Seeds needed


@pytest.mark.parametrize("centre", [0.0, 0.1])
def test_the_seeds_needed_are_the_fewest_with_the_power_of_a_noncentral_t(centre):
    """In the middle of the range each of the two tests may miss, and their misses add up."""
    gap = centre + 0.17 * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    effects = (0.25 + np.array([centre, -centre])) / gap.std(ddof=1)
    critical = {n: student.ppf(1 - CLAIMS.level, n - 1) for n in range(2, 40)}
    powers = {n: 1 - nct.cdf(t, n - 1, effects * math.sqrt(n)).sum() for n, t in critical.items()}
    enough = min(n for n, power in powers.items() if power >= CLAIMS.power)
    assert judge_equal(gap, np.ones(5), 0.25, CLAIMS).seeds_needed == enough


@given(VALUES, st.floats(-2, 2))
def test_an_undecided_mean_needs_more_seeds_than_it_has(values, limit):
    found = judge_mean(values, CLAIMS, above=limit)
    if found.verdict == "undecided" and found.seeds_needed is not None:
        assert len(values) < found.seeds_needed <= MOST_SEEDS


def test_more_spread_needs_more_seeds_and_beyond_a_hundred_none_is_named():
    around = np.array([-0.17, -0.07, 0.03, 0.21])
    few, many = (seeds_to_decide([0.2 + scale * around], 0.05, 0.8) for scale in (1.0, 4.0))
    assert few < many
    assert seeds_to_decide([1e-6 + around], 0.05, 0.8) is None
    assert seeds_to_decide([np.full(3, -1.0)], 0.05, 0.8) is None
    assert seeds_to_decide([np.full(3, 1.0)], 0.05, 0.8) == 2


# Parts


def part(verdict: str, p_holds: float, p_fails: float, needed: int | None = 7, leans: bool = True) -> Measured:
    return Measured(Interval(p_holds, 0, 1), 5, verdict, p_holds, p_fails, seeds_needed=needed, leans=leans)


def test_all_of_its_parts():
    good, better = part("reproduced", 0.03, 1.0, 50), part("reproduced", 0.001, 1.0)
    unsure, bad = part("undecided", 0.4, 0.3, 12), part("not reproduced", 1.0, 0.001, leans=False)
    holds = all_of({"a": better, "b": good}, 0.05)
    assert (holds.verdict, holds.part, holds.interval.value) == ("reproduced", "b", 0.03)
    assert holds.detail == "2 of 2 parts reproduced"
    open_ = all_of({"a": good, "b": unsure}, 0.05)
    assert (open_.verdict, open_.part, open_.seeds_needed) == ("undecided", "b", 12)
    fails = all_of({"a": good, "b": unsure, "c": bad}, 0.05)
    assert (fails.verdict, fails.part, fails.interval.value) == ("not reproduced", "c", 1.0)
    assert fails.detail == "1 of 3 parts reproduced, 1 not"


def test_seeds_of_several_parts():
    slow, slower = part("undecided", 0.4, 0.8, 12), part("undecided", 0.4, 0.8, 30)
    endless, against = part("undecided", 0.4, 0.8, None), part("undecided", 0.9, 0.2, 20, leans=False)
    assert all_of({"a": slow, "b": slower}, 0.05).seeds_needed == 30  # the last of them has to be shown
    assert all_of({"a": slow, "b": endless}, 0.05).seeds_needed is None
    assert all_of({"a": endless, "b": against}, 0.05).seeds_needed == 20  # one that fails is enough


def test_an_interval_beyond_the_limit_that_holm_leaves_undecided_is_said_in_words():
    """By itself such a part is not reproduced; of three, one is by chance more often."""
    beyond = judge_mean(0.061 * np.arange(-2, 3) + 0.13, CLAIMS, below=0.0)
    sure = judge_mean(0.01 * np.arange(-2, 3) - 1.0, CLAIMS, below=0.0)
    assert (beyond.verdict, beyond.interval.low > 0, 0.05 / 3 < beyond.p_fails < 0.05) == ("not reproduced", True, True)
    found = all_of({"first": sure, "second": beyond, "third": sure}, 0.05)
    assert (found.verdict, found.part) == ("undecided", "second")
    assert "by itself second would not be" in found.detail
    assert "by itself" not in all_of({"second": beyond}, 0.05).detail


def test_an_outcome_of_parts_is_the_worst_of_them():
    """Of comparisons for equality alone; what failed differs."""
    same, near, far = (
        judge_equal(middle + 0.02 * np.arange(-2, 3), np.ones(5), 0.25, CLAIMS) for middle in (0.0, 0.1, 0.4)
    )
    assert all_of({"a": same, "b": same}, 0.05).outcome == "equal"
    assert all_of({"a": near, "b": same}, 0.05).outcome == "differs within a quarter"
    assert all_of({"a": near, "b": far}, 0.05).outcome == "differs"
    assert failed(near, "a trip diverged").outcome == "differs"
    other = judge_mean(np.ones(3), CLAIMS, above=0.0)
    assert all_of({"a": same, "b": other}, 0.05).outcome == failed(other, "a trip diverged").outcome == ""


def test_holm_is_a_step_down():
    p_values = {"a": 0.01, "b": 0.04, "c": 0.02, "d": 0.9}
    assert holm(p_values, 0.05) == ["a"]  # 0.02 is not below 0.05 / 3
    assert holm(p_values, 0.06) == ["a"]
    assert holm(p_values, 0.09) == ["a", "c", "b"]
    assert holm({"a": 0.03}, 0.05) == ["a"]
    assert holm({"a": 0.03, "b": 0.5}, 0.05) == []


def test_what_failed_keeps_its_number():
    good = part("reproduced", 0.01, 1.0)
    found = failed(good, "a trip diverged")
    assert (found.verdict, found.detail, found.interval) == ("not reproduced", "a trip diverged", good.interval)
    reason = NotMeasured("nothing there")
    assert failed(reason, "a trip diverged") is reason


# The unit


def test_the_seed_is_the_unit():
    index = pd.MultiIndex.from_tuples([(0, 20), (0, 30), (1, 20), (1, 30)], names=["seed", "branch"])
    values = pd.Series([1.0, 3.0, 5.0, np.nan], index)
    assert by_seed(values).to_dict() == {0: 2.0, 1: 5.0}
    assert judge_seeds(values, CLAIMS, "", above=0.0).n == 2
    assert judge_seeds(values * np.nan, CLAIMS, "no trip", above=0.0) == NotMeasured("no trip")
