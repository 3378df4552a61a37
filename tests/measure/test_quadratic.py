"""The analytic model: closed forms against slow references and against simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidetrip.kernels import Kernel
from sidetrip.measure.quadratic import (
    change_of_norm,
    drag_and_drift,
    equation_19,
    simulate,
    standard_normal,
    stationary_covariance,
    stochastic_step,
)

SEEDS = st.integers(0, 2**32 - 1)


def random_omega(random, d: int, symmetric: bool) -> np.ndarray:
    """Eigenvalues between 0.2 and 1.5; not normal unless symmetric."""
    basis = np.linalg.qr(random.standard_normal((d, d)))[0]
    triangle = np.diag(random.uniform(0.2, 1.5, d))
    if not symmetric:
        triangle = triangle + np.triu(random.standard_normal((d, d)), 1)
    return basis @ triangle @ basis.T


def random_kernel(random, k: int) -> Kernel:
    weights = random.standard_normal(k + 1)
    return Kernel(weights + (1 - weights.sum()) / (k + 1))


def slow_covariance(omega: np.ndarray, rate: float, kernel: Kernel) -> np.ndarray:
    """Every pair of iterates by itself: powers of Γ between them, a long sum for the iterates' own covariance."""
    gamma = np.eye(len(omega)) - rate * omega
    iterates, power = np.zeros_like(gamma), np.eye(len(omega))
    for _ in range(3000):
        iterates += rate**2 * power @ power.T
        power = gamma @ power
    total = np.zeros_like(gamma)
    for i, wi in enumerate(kernel.weights):
        for j, wj in enumerate(kernel.weights):
            later = np.linalg.matrix_power(gamma, abs(i - j)) @ iterates
            total += wi * wj * (later if i >= j else later.T)
    return total


@given(SEEDS, st.booleans(), st.integers(1, 4), st.integers(1, 6), st.floats(0.05, 0.9))
@settings(max_examples=30, deadline=None)
def test_closed_form_is_the_slow_double_sum(seed, symmetric, d, k, rate):
    random = np.random.default_rng(seed)
    omega, kernel = random_omega(random, d, symmetric), random_kernel(random, k)
    expected = slow_covariance(omega, rate, kernel)
    found = stationary_covariance(omega, rate, kernel)
    assert np.allclose(found, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())
    if symmetric:
        assert np.allclose(equation_19(omega, rate, kernel), expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def test_simulate_is_the_loop_written_out():
    omega, rate = np.array([[0.5, 0.3], [0.0, 0.8]]), 0.3
    kernels = [Kernel([0.2, 0.3, 0.5]), Kernel.two_point(4)]
    found = simulate(omega, rate, kernels, replicas=5, warm_up=3, random=torch.Generator().manual_seed(7))
    random, u, path = torch.Generator().manual_seed(7), np.zeros((5, 2)), []
    for _ in range(7):
        noise = standard_normal((5, 2), random).numpy()
        u = np.array([row - rate * omega @ row + rate * xi for row, xi in zip(u, noise, strict=True)])
        path.append(u)
    for kernel, average in zip(kernels, found, strict=True):
        points = path[-len(kernel.weights) :]
        assert np.allclose(average, sum(w * p for w, p in zip(kernel.weights, points, strict=True)), rtol=1e-12)


@given(st.floats(0.01, 1.9), st.integers(1, 40), st.floats(0.01, 0.9))
@settings(max_examples=50, deadline=None)
def test_special_cases(x, k, newest):
    """λκ = x: two-point (eq. 20), n-point over the last k (eq. 21 summed out), EMA whose start is forgotten."""
    factor = lambda kernel: float(equation_19([[x]], 1.0, kernel)[0, 0] * (2 * x - x * x))  # noqa: E731
    assert factor(Kernel.two_point(k)) == pytest.approx((1 + (1 - x) ** k) / 2, abs=1e-9)
    correlations = [(1 - x) ** abs(i - j) for i in range(k) for j in range(k)]
    assert factor(Kernel.swa(k)) == pytest.approx(sum(correlations) / k**2, abs=1e-9)
    long = math.ceil(math.log(1e-14) / math.log(1 - newest))
    r = (1 - newest) * (1 - x)
    assert factor(Kernel.ema(long, newest)) == pytest.approx(newest / (2 - newest) * (1 + r) / (1 - r), rel=1e-6)


@pytest.mark.parametrize("omega", [[[-0.1]], [[2.5]], [[0.0]]])
def test_what_has_no_stationary_state_is_refused(omega):
    with pytest.raises(ValueError, match="no stationary distribution"):
        stationary_covariance(omega, 1.0, Kernel.two_point(3))


@given(SEEDS, st.integers(1, 5), st.floats(0.01, 0.9))
@settings(max_examples=30, deadline=None)
def test_a_step_is_that_of_the_gradient_and_eq_8_is_exact(seed, d, rate):
    random = np.random.default_rng(seed)
    theta, c, a = (torch.from_numpy(random.standard_normal(shape)) for shape in ((4, d), (4, d), (4, d, d)))
    after = stochastic_step(theta, rate, a, c)
    for i in range(4):
        assert torch.allclose(after[i], theta[i] - rate * a[i].T @ (a[i] @ theta[i] + c[i]))
    identity = torch.eye(d, dtype=torch.float64).expand(4, d, d)
    assert torch.allclose(stochastic_step(theta, rate, None, c), stochastic_step(theta, rate, identity, c))
    gamma, drift = drag_and_drift(theta, (theta - after) / rate)
    across = (drift * theta).sum(dim=1).abs()
    assert float(across.max()) <= 1e-10 * float((after - theta).abs().max()) / rate
    change = after.square().sum(dim=1) - theta.square().sum(dim=1)
    scale = after.square().sum(dim=1) + theta.square().sum(dim=1)
    assert bool(((change_of_norm(theta, rate, gamma, drift) - change).abs() <= 1e-12 * scale).all())
