"""Averages of a few snapshots against trips, and against a least-squares solver."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidetrip.kernels import Kernel, Schedule
from sidetrip.snapshots import nearest_average

GAPS = st.lists(st.integers(1, 12), min_size=1, max_size=8)
SEED = st.integers(0, 2**32 - 1)


def steps_of(gaps, first=7):
    return [first, *(first + np.cumsum(gaps)).tolist()]


@given(GAPS, SEED, st.sampled_from([0.0, 0.9]))
def test_a_staircase_is_a_trip_exactly(gaps, seed, momentum):
    """On a linear loss, whose gradients do not depend on the weights, with momentum and a rate that varies."""
    random = np.random.default_rng(seed)
    steps, total = steps_of(gaps), sum(gaps)
    staircase = np.repeat(random.uniform(-0.5, 1.5, len(gaps)), gaps)
    rates, gradients = random.uniform(0.01, 0.1, total), random.standard_normal((total, 3))

    def run(multipliers):
        theta, velocity, passed = np.full(3, 0.3), np.full(3, 0.7), [np.full(3, 0.3)]
        for rate, gradient, multiplier in zip(rates, gradients, multipliers, strict=True):
            velocity = momentum * velocity + gradient
            theta = theta - rate * multiplier * velocity
            passed.append(theta)
        return passed

    found = nearest_average(steps, Schedule(staircase), rates)
    np.testing.assert_allclose(found.realised, staircase, atol=1e-12)
    assert found.distance < 1e-12
    passed = run(np.ones(total))
    merged = sum(c * passed[step - steps[0]] for c, step in zip(found.coefficients, steps, strict=True))
    np.testing.assert_allclose(merged, run(staircase)[-1], atol=1e-12)


@given(GAPS, SEED, st.booleans(), st.integers(0, 20))
def test_the_nearest_staircase_is_that_of_least_squares(gaps, seed, varying, shorter):
    random = np.random.default_rng(seed)
    steps, total = steps_of(gaps), sum(gaps)
    window = max(1, total - shorter)
    wanted = Schedule(random.uniform(0, 1, window))
    rates = random.uniform(0.1, 1.0, window) if varying else None
    found = nearest_average(steps, wanted, rates)
    target = np.r_[np.ones(total - window), wanted.multipliers][found.begin - steps[0] :]
    weights = np.ones(len(target))
    if varying:
        weights = np.r_[np.full(len(target) - window, rates[0]), rates]
    edges = [step - found.begin for step in steps if step >= found.begin]
    design = np.zeros((len(target), len(edges) - 1))
    for column, (a, b) in enumerate(pairwise(edges)):
        design[a:b, column] = 1.0
    levels = np.linalg.lstsq(design * weights[:, None], target * weights, rcond=None)[0]
    np.testing.assert_allclose(found.realised, design @ levels, atol=1e-9)
    np.testing.assert_allclose(found.wanted, target)
    assert found.coefficients.sum() == pytest.approx(1.0)
    before = np.array([step < found.begin for step in steps])
    assert (found.coefficients[before] == 0).all()


@given(st.integers(1, 60))
def test_snapshots_at_every_step_give_the_kernel_itself(k):
    for schedule in (Schedule.linear(k), Schedule.cosine(k), Schedule.one_minus_sqrt(k), Kernel.ema(k, 0.1).schedule()):
        found = nearest_average(range(100, 101 + k), schedule)
        np.testing.assert_allclose(found.coefficients, schedule.kernel().weights, atol=1e-12)
    np.testing.assert_allclose(nearest_average(range(k + 1), Schedule.linear(k)).coefficients, Kernel.swa(k).weights)


def test_it_goes_by_step_not_by_index():
    found = nearest_average([0, 100, 200, 1000], Schedule.linear(1000))
    levels = found.realised[[0, 100, 200]]
    assert levels == pytest.approx([0.9505, 0.8505, 0.4005])  # 0.95, 0.85, 0.40: means of 1 - (i - 1)/1000
    assert found.coefficients == pytest.approx([0.0495, 0.1, 0.45, 0.4005])


def test_a_falling_schedule_is_a_true_average():
    found = nearest_average([0, 3, 10, 12], Schedule.cosine(11))
    assert (found.coefficients >= 0).all()
    assert found.amplification == pytest.approx(1.0)
    assert found.warnings == ()


def test_what_is_ill_conditioned_is_said():
    rising = nearest_average([0, 5, 10], Schedule(np.r_[np.full(5, 3.0), np.full(5, -2.0)]))
    assert rising.amplification == 9.0
    assert "sum to 9" in rising.warnings[0]
    short = nearest_average([0, 1000], Schedule.linear(10))
    assert "two snapshots, 1000 steps apart" in short.warnings[0]
    assert short.realised[0] == pytest.approx((990 + 5.5) / 1000)


@pytest.mark.parametrize(
    ("steps", "window", "message"),
    [
        ([5], 1, "at least 2 snapshots, got 1"),
        ([5, 5], 1, "ascending and different, got"),
        ([100, 200], 150, "begins at 50, before the first snapshot .100.; use a shorter one"),
    ],
)
def test_what_cannot_be_answered_is_refused(steps, window, message):
    with pytest.raises(ValueError, match=message):
        nearest_average(steps, Schedule.linear(window))


@given(GAPS, st.data())
def test_a_window_may_end_at_any_snapshot(gaps, data):
    assume(len(gaps) > 1)
    steps = steps_of(gaps)
    end = data.draw(st.sampled_from(steps[1:]))
    found = nearest_average(steps, Schedule.linear(end - steps[0]), end=end)
    here = nearest_average([step for step in steps if step <= end], Schedule.linear(end - steps[0]))
    assert found.coefficients[: len(here.coefficients)].tolist() == here.coefficients.tolist()
    assert not found.coefficients[len(here.coefficients) :].any()
