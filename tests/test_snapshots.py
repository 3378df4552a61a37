"""Averages of a few snapshots against trips, least squares and simulated noise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidetrip.kernels import Schedule
from sidetrip.snapshots import nearest_average, relative_schedule

GAPS = st.lists(st.integers(1, 12), min_size=1, max_size=8)
SEED = st.integers(0, 2**32 - 1)
FIRST = 7  # step of the first snapshot


def steps_of(gaps):
    return [FIRST, *(FIRST + np.cumsum(gaps)).tolist()]


def trip(rates, directions, momentum=0.0):
    """All iterates of SGD on a linear loss, whose gradients do not depend on the weights."""
    weights, velocity = np.full(3, 0.3), np.full(3, 0.7)
    iterates = [weights]
    for rate, gradient in zip(rates, directions, strict=True):
        velocity = momentum * velocity + gradient
        weights = weights - rate * velocity
        iterates.append(weights)
    return iterates


def merged(average, iterates):
    return sum(c * iterates[step - FIRST] for c, step in zip(average.coefficients, average.steps, strict=True) if c)


@given(GAPS, SEED, st.floats(0.0, 0.99), st.booleans(), st.integers(0, 7))
def test_a_realisable_schedule_is_the_trip(gaps, seed, momentum, varying, skipped):
    """With momentum, uneven spacing, a rate of the run that varies, and snapshots before the window."""
    random = np.random.default_rng(seed)
    skipped = min(skipped, len(gaps) - 1)
    total, before = sum(gaps), sum(gaps[:skipped])
    multipliers = np.repeat(random.uniform(-0.5, 1.5, len(gaps)), gaps)
    multipliers[:before] = 1.0
    rates = random.uniform(0.0, 0.1, total) if varying else np.full(total, 0.1)
    gradients = random.standard_normal((total, 3))
    own = np.r_[np.full(FIRST, 0.5), rates] if varying else None
    found = nearest_average(steps_of(gaps), Schedule(multipliers[before:]), own)
    assert found.distance < 1e-12
    assert found.share == pytest.approx(1.0)
    at_landing = trip(rates * multipliers, gradients, momentum)[-1]
    np.testing.assert_allclose(merged(found, trip(rates, gradients, momentum)), at_landing, rtol=0, atol=1e-12)
    assert not found.coefficients[:skipped].any()


@given(GAPS, SEED, st.booleans(), st.integers(0, 20))
def test_no_other_staircase_is_nearer(gaps, seed, varying, shorter):
    """Against a solver for the displacements of white noise, one column for each interval."""
    random = np.random.default_rng(seed)
    steps, total = steps_of(gaps), sum(gaps)
    window = max(1, total - shorter)
    wanted = Schedule(random.uniform(-1, 2, window))
    own = random.uniform(0.1, 1.0, steps[-1]) if varying else None
    found = nearest_average(steps, wanted, own)
    target = np.r_[np.ones(total - window), wanted.multipliers][found.begin - FIRST :]
    rates = np.ones(len(target)) if own is None else own[found.begin :]
    design = np.zeros((len(target), len(found.used) - 1))
    for column, (a, b) in enumerate(pairwise(found.used)):
        design[a - found.begin : b - found.begin, column] = 1.0
    levels = np.linalg.lstsq(design * rates[:, None], target * rates, rcond=None)[0]
    np.testing.assert_allclose(found.levels, levels, atol=1e-9)
    np.testing.assert_allclose(found.realised, design @ levels, atol=1e-9)
    np.testing.assert_array_equal(found.wanted, target)
    residual = np.sum((rates * (design @ levels - target)) ** 2)
    assert found.distance**2 * np.sum(rates**2) == pytest.approx(residual, abs=1e-9)
    assert 1.0 - residual / np.sum((rates * (1 - target)) ** 2) == pytest.approx(found.share, abs=1e-9)
    assert found.coefficients.sum() == pytest.approx(1.0)


def test_squared_rates_are_right_for_noise_and_drift_says_what_they_cost():
    rates = np.r_[np.full(20, 1.0), np.full(20, 0.1)]
    wanted = Schedule(np.linspace(1.0, 0.0, 40))
    found = nearest_average([0, 40], wanted, rates)
    noise = np.random.default_rng(0).standard_normal((20_000, 40))
    missed = np.square(noise @ (rates * (found.realised - wanted.multipliers))).mean()
    for other in (np.average(wanted.multipliers, weights=rates), wanted.multipliers.mean()):
        assert missed < np.square(noise @ (rates * (other - wanted.multipliers))).mean()
    constant_gradient = rates @ found.realised / (rates @ wanted.multipliers) - 1
    assert found.drift == pytest.approx(constant_gradient)
    assert found.drift > 0.02
    assert "sum of the realised rates differs" in " ".join(found.warnings)
    assert nearest_average([0, 10, 40], wanted).drift == pytest.approx(0.0, abs=1e-12)


def test_where_the_run_stood_still_nothing_counts():
    found = nearest_average([0, 2, 4], Schedule([0.2, 0.8, 0.5, 0.1]), [0.0, 0.0, 1.0, 0.0])
    assert found.levels.tolist() == [0.5, 0.5]  # unweighted where no step has weight


def test_absolute_rates_are_multipliers_on_the_run_s_own_and_cannot_move_one_that_stood_still():
    assert relative_schedule([0.0, 0.5], [0.0, 2.0]).multipliers.tolist() == [1.0, 0.25]
    with pytest.raises(ValueError, match=r"own rate is 0 at step 2 of the window.*a rate of 0.5; want"):
        relative_schedule([0.1, 0.5], [1.0, 0.0])
    with pytest.raises(ValueError, match="1 wanted rates for 2 own rates"):
        relative_schedule([0.1], [1.0, 0.0])


def test_it_goes_by_step_not_by_index():
    found = nearest_average([0, 100, 200, 1000], Schedule.linear(1000))
    assert found.levels == pytest.approx([0.9505, 0.8505, 0.4005])  # of 1 - (i - 1)/1000: 0.95, 0.85, 0.40
    assert found.coefficients == pytest.approx([0.0495, 0.1, 0.45, 0.4005])


@pytest.mark.parametrize("intervals", [1, 2, 5, 10])
def test_how_much_of_a_linear_decay_equal_intervals_realise(intervals):
    steps = np.arange(intervals + 1) * 1000
    share = nearest_average(steps.tolist(), Schedule.linear(int(steps[-1]))).share
    assert share == pytest.approx(1 - 1 / (4 * intervals**2), abs=1e-3)


@given(GAPS, SEED)
def test_coefficients_do_not_explode(gaps, seed):
    """Their sizes sum to the total variation of the staircase, at most that of the schedule."""
    random = np.random.default_rng(seed)
    wanted = Schedule(random.uniform(-2, 3, sum(gaps)))
    variation = np.abs(np.diff(np.r_[1.0, wanted.multipliers, 0.0])).sum()
    assert nearest_average(steps_of(gaps), wanted).amplification <= variation * (1 + 1e-12)
    falling = Schedule(np.sort(random.uniform(0, 1, sum(gaps)))[::-1])
    found = nearest_average(steps_of(gaps), falling)
    assert (found.coefficients >= -1e-15).all()
    assert found.amplification == pytest.approx(1.0)


@given(GAPS, st.data())
def test_a_window_may_end_at_any_snapshot_but_the_first(gaps, data):
    assume(len(gaps) > 1)
    steps = steps_of(gaps)
    end, rates = data.draw(st.sampled_from(steps[1:])), np.arange(1.0, steps[-1] + 1)
    found = nearest_average(steps, Schedule.linear(end - FIRST), rates, end)
    here = nearest_average([step for step in steps if step <= end], Schedule.linear(end - FIRST), rates[:end])
    assert found.coefficients[: len(here.coefficients)].tolist() == here.coefficients.tolist()
    assert not found.coefficients[len(here.coefficients) :].any()


def test_what_is_ill_conditioned_is_said():
    good = nearest_average([0, 5, 10], Schedule.linear(10))
    assert good.warnings == good.objections == ()
    coarse = nearest_average([0, 10], Schedule.linear(10))
    assert "realise 71% of the schedule (the window of 10 steps has 1 interval between" in coarse.warnings[0]
    assert coarse.objections == ()
    short = nearest_average([0, 1000], Schedule.linear(10))
    assert "realise only 1% of the schedule (the window of 10 steps is shorter than the spac" in short.objections[0]
    assert short.warnings == ()
    assert short.levels[0] == pytest.approx((990 + 5.5) / 1000)
    rising = nearest_average([0, 5, 10], Schedule(np.r_[np.full(5, 3.0), np.full(5, -2.0)]))
    assert rising.amplification == 9.0
    assert "sum to 9, which enlarges noise" in rising.warnings[0]
    wild = nearest_average([0, 5, 10], Schedule(np.r_[np.full(5, 60.0), np.full(5, -2.0)]))
    assert "sum to 123, which enlarges noise" in wild.objections[0]


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        ([0, 10**12], {}, "span 1000000000000 steps"),
        ([5], {}, "at least 2 snapshots, got 1"),
        ([5, 6, 6], {}, "must ascend without repetition, got 6 after 6; sort them"),
        ([9, 10], {}, "begins at step 8, before the first snapshot at step 9; use at most 1 steps"),
        ([1, 4, 9], {"end": 5}, "cannot end at step 5, where no later snapshot lies; the nearest is 4"),
        ([1, 4, 9], {"end": 1}, "cannot end at step 1"),
        ([1, 4, 9], {"rates": np.ones(8)}, "8 rates do not cover the steps 5..9; give the rates of the run's steps 1"),
        ([1, 4, 9], {"rates": -np.ones(9)}, "finite numbers of at least 0"),
        ([1, 4, 9], {"rates": np.full(9, np.nan)}, "finite numbers of at least 0"),
    ],
)
def test_what_cannot_be_answered_is_refused(steps, options, message):
    with pytest.raises(ValueError, match=message) as error:
        nearest_average(steps, Schedule.linear(2), **options)
    assert "\n" not in str(error.value)
