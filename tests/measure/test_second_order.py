"""Average and trip of one degree of freedom, against sums over every noise and the published forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.second_order import Spectrum, factors, predict, stationary_variance

SEEDS = st.integers(0, 2**32 - 1)
MOMENTA = st.sampled_from([0.0, 0.5, 0.9])


def draw(seed: int) -> tuple[Schedule, Kernel]:
    """A random schedule, and weights of either sign over its steps."""
    random = np.random.default_rng(seed)
    k = int(random.integers(1, 12))
    weights = random.standard_normal(k + 1)
    return Schedule(random.uniform(0.0, 1.3, k)), Kernel(weights + (1.0 - weights.sum()) / (k + 1))


def run(multipliers: np.ndarray, x: float, momentum: float, noise: np.ndarray) -> np.ndarray:
    """θ after each step of v ← μ v + κ θ + ξ, θ ← θ - s v at κ = x, λ = 1, from 0."""
    velocity, path = np.zeros(noise.shape[1:]), [np.zeros(noise.shape[1:])]
    for multiplier, xi in zip(multipliers, noise, strict=True):
        velocity = momentum * velocity + x * path[-1] + xi
        path.append(path[-1] - multiplier * velocity)
    return np.array(path)


@given(SEEDS, MOMENTA, st.floats(0.05, 1.6))
def test_variances_are_those_of_the_steps_written_out(seed, momentum, x):
    schedule, kernel = draw(seed)
    # A long run-up at constant rate, and every noise by itself: each column of the identity is one of them.
    run_up = math.ceil(40.0 / min(x / (1.0 - momentum), 1.0 - math.sqrt(momentum)))
    multipliers = np.r_[np.ones(run_up), schedule.multipliers]
    path = run(multipliers, x, momentum, np.eye(len(multipliers)))
    stationary, end = (path[run_up] ** 2).sum(), kernel.weights @ path[run_up:]
    found = factors(schedule, kernel, x, momentum)
    assert stationary_variance(x, momentum) == pytest.approx(stationary, rel=1e-9)
    assert found.variance == pytest.approx((end**2).sum() / stationary, rel=1e-9)
    assert found.fresh == pytest.approx((end[run_up:] ** 2).sum() / stationary, rel=1e-9)


def test_a_prediction_adds_up_the_directions_that_have_a_stationary_state():
    kernel, rate, momentum = Kernel.ema(40, 0.1), 0.02, 0.9
    spectrum = Spectrum(np.array([-1.0, 0.0, 0.5, 4.0]), np.array([3.0, 2.0, 1.0, 0.25]))
    found = predict(kernel, kernel.schedule(), spectrum, rate, momentum)
    each = [
        predict(kernel, kernel.schedule(), Spectrum(np.array([k]), np.array([p])), rate, momentum)
        for k, p in ((0.5, 1.0), (4.0, 0.25))
    ]
    assert found == pytest.approx(np.sum(each, axis=0))
    assert found.difference == pytest.approx((found.average - found.trip) / (found.momentary - found.average))
    assert math.isnan(predict(Kernel.swa(1), Schedule.linear(1), spectrum, rate, momentum).difference)  # no gain
    # Small λκ: every direction adds λ / (4 (1 - μ)) of its noise, whatever its curvature.
    slow = predict(kernel, kernel.schedule(), Spectrum(np.array([1e-6]), np.array([7.0])), rate, momentum)
    assert slow.momentary == pytest.approx(7.0 * rate / (4.0 * (1.0 - momentum)), rel=1e-6)


def test_what_is_not_stationary_is_nan_and_unequal_windows_are_refused():
    x = [-0.1, 0.0, 3.8, 9.0]
    assert np.isnan([stationary_variance(x, 0.9), *factors(*draw(1), x, 0.9)]).all()
    unstable = Spectrum(np.array([1.0, 500.0]), np.array([1.0, 1.0]))
    assert np.isnan(predict(Kernel.swa(3), Schedule.linear(3), unstable, 0.02, 0.9)).all()
    with pytest.raises(ValueError, match="make them equal"):
        factors(Schedule.linear(3), Kernel.swa(4), 0.1)
