"""Kernels and schedules convert into each other exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.kernels import DECAYS, Kernel, Schedule
from sidetrip.measure.quadratic import stationary_covariance

values = st.floats(-3.0, 3.0)
windows = st.integers(1, 40)


@st.composite
def kernels(draw, least=2, most=25):
    """Random weights, negative ones too, that sum to 1."""
    free = draw(st.lists(values, min_size=least - 1, max_size=most - 1))
    return Kernel([1.0 - float(np.sum(free)), *free])


@given(kernels())
def test_schedule_is_tail_sums(kernel):
    slow = [sum(kernel.weights[i:]) for i in range(1, kernel.steps + 1)]
    np.testing.assert_allclose(kernel.schedule().multipliers, slow, atol=1e-12)


@given(st.lists(values, min_size=1, max_size=25))
def test_schedule_to_kernel_and_back(multipliers):
    schedule = Schedule(multipliers)
    np.testing.assert_allclose(schedule.kernel().schedule().multipliers, schedule.multipliers, atol=1e-12)


@given(windows, st.floats(1e-5, 1.0))
def test_table_1(k, newest):
    i = np.arange(1, k + 1)
    np.testing.assert_allclose(Kernel.swa(k).schedule().multipliers, (k + 1 - i) / k, atol=1e-12)
    np.testing.assert_allclose(Schedule.linear(k).kernel().weights, Kernel.swa(k).weights, atol=1e-12)
    np.testing.assert_allclose(Kernel.two_point(k).schedule().multipliers, np.full(k, 0.5), atol=1e-12)
    ema = Kernel.ema(k, newest=newest)
    np.testing.assert_allclose(ema.schedule().multipliers, 1 - (1 - newest) ** (k + 1 - i), atol=1e-12)
    assert ema.weights[0] == pytest.approx((1 - newest) ** k)


@given(windows)
def test_non_increasing_schedules_are_non_negative_kernels(k):
    for schedule in (Schedule.linear(k), Schedule.cosine(k), Schedule.one_minus_sqrt(k), Schedule.constant(k, 0.3)):
        assert (schedule.kernel().weights >= -1e-12).all()


def test_identity_changes_nothing():
    np.testing.assert_array_equal(Kernel.identity(4).schedule().multipliers, np.ones(4))
    assert Kernel.identity(0).steps == 0


@given(kernels(), st.floats(0.0, 1.9))
def test_rate_factor_is_written_out_eq_19(kernel, x):
    w = kernel.weights
    slow = sum(w[i] * w[j] * (1 - x) ** abs(i - j) for i in range(len(w)) for j in range(len(w)))
    assert float(kernel.rate_factor(x)) == pytest.approx(slow, rel=1e-9, abs=1e-9 * np.square(w).sum() * len(w))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kernel([0.5, 0.4]), "must sum to 1"),
        (lambda: Kernel([[1.0]]), "must be a vector"),
        (lambda: Kernel([np.nan, 1.0]), "must be finite"),
        (lambda: Kernel.swa(0), "from 1 to .* got 0"),
        (lambda: Kernel.swa(2.5), "whole number"),
        (lambda: Kernel.swa(np.inf), "whole number"),
        (lambda: Kernel.swa(None), "whole number"),
        (lambda: Kernel.swa(10**11), "whole number"),
        (lambda: Kernel.identity(1.5), "whole number from 0"),
        (lambda: Kernel([1e9, -1e9, 3.0]), "must sum to 1, these sum to 3"),
        (lambda: Kernel([1e9, -1e9, 0.0]), "must sum to 1, these sum to 0"),
        (lambda: Kernel([1e17, -1e17, 3.0]), "must sum to 1"),
        (lambda: Kernel.ema(3, newest=0.0), "must lie in"),
        (lambda: Schedule([]), "at least 1 number"),
        (lambda: Schedule.linear(-1), "from 1 to .* got -1"),
        (lambda: Kernel.identity(0).schedule(), "at least 1 number"),
        (lambda: stationary_covariance(np.eye(2), 2.5, Kernel.swa(2)), "spectral radius 1.5"),
        (lambda: stationary_covariance(np.ones((2, 3)), 0.1, Kernel.swa(2)), "square"),
    ],
)
def test_bad_input_is_refused_with_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_weights_of_a_coarser_type_are_taken_at_its_rounding(dtype):
    weights = np.exp(np.random.default_rng(0).standard_normal(40))
    weights = (weights / weights.sum()).astype(dtype)
    assert weights.astype(float).sum() != 1.0
    found = Kernel(weights).weights
    assert abs(found.sum() - 1.0) < 1e-12
    np.testing.assert_allclose(found, weights.astype(float), rtol=40 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="must sum to 1"):
        Kernel((1.1 * weights).astype(dtype))


def test_the_type_of_the_newest_weight_does_not_matter():
    np.testing.assert_array_equal(
        Kernel.ema(100, newest=np.float32(0.02)).weights, Kernel.ema(100, newest=float(np.float32(0.02))).weights
    )


@given(st.floats(1.0, 1e10), st.integers(1, 1000))
def test_large_weights_may_sum_to_1_within_their_rounding(size, k):
    weights = np.r_[np.full(k, size), np.full(k, -size), 1.0]
    np.random.default_rng(k).shuffle(weights)
    assert Kernel(weights).weights.tolist() == weights.tolist()


@pytest.mark.parametrize("shape", DECAYS)
def test_every_decay_begins_at_1_and_falls_to_0(shape):
    multipliers = DECAYS[shape](1000).multipliers
    assert multipliers[0] == 1.0
    assert (np.diff(multipliers) < 0.0).all()
    first, last = (DECAYS[shape](steps).multipliers[-1] for steps in (100, 10_000))
    assert 0.0 <= last <= min(first / 5, 0.011)
