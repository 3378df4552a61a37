"""Products with the Hessian against finite differences, quadrature against the full eigendecomposition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sidetrip.engine.batch import Batch
from sidetrip.measure.curvature import batch_gradient, hessian_product, lanczos_quadrature, noise_vector


def symmetric(random: np.random.Generator, n: int) -> torch.Tensor:
    half = random.standard_normal((n, n))
    return torch.from_numpy(half + half.T) / n**0.5


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 12))
def test_moments_below_twice_the_steps_are_exact(seed, n, steps):
    random = np.random.default_rng(seed)
    matrix, vector = symmetric(random, n), torch.from_numpy(random.standard_normal(n))
    curvatures, directions = np.linalg.eigh(matrix.numpy())
    measure = (vector.numpy() @ directions) ** 2
    found = lanczos_quadrature(lambda v: matrix @ v, vector, steps)
    assert len(found.curvature) == len(found.power) == min(steps, n)
    for order in range(2 * steps):
        scale = (np.abs(curvatures) ** order * measure).sum()
        assert (found.power * found.curvature**order).sum() == pytest.approx(
            (measure * curvatures**order).sum(), abs=1e-9 * scale
        )


def test_a_long_quadrature_in_single_precision_counts_no_eigenvalue_twice():
    """Without orthogonalising again, the outlier would come back as several nodes."""
    random = np.random.default_rng(3)
    basis = np.linalg.qr(random.standard_normal((300, 300)))[0]
    curvatures = np.r_[np.linspace(0.0, 1.0, 299), 50.0]
    matrix = torch.from_numpy((basis * curvatures) @ basis.T).float()
    start = torch.from_numpy(random.standard_normal(300)).float()
    found = lanczos_quadrature(lambda v: matrix @ v, start, 60)
    outlier = found.curvature > 2.0
    assert outlier.sum() == 1
    assert found.power[outlier] == pytest.approx(float(basis[:, -1] @ start.numpy()) ** 2, rel=1e-3)


def test_an_invariant_space_ends_the_quadrature():
    matrix = torch.diag(torch.tensor([3.0, 5.0, 7.0, 0.1]))
    found = lanczos_quadrature(lambda v: matrix @ v, torch.tensor([2.0, 1.0, 0.0, 0.0]), 10)
    assert found.curvature == pytest.approx([3.0, 5.0]) and found.power == pytest.approx([4.0, 1.0])


@pytest.mark.parametrize(("start", "image", "remedy"), [(0.0, 1.0, "start from"), (1.0, float("nan"), "lower")])
def test_what_has_no_measure_is_refused(start, image, remedy):
    with pytest.raises(ValueError, match=remedy):
        lanczos_quadrature(lambda v: torch.full_like(v, image), torch.full((3,), start), 2)


def test_products_and_noise_are_those_of_the_gradient():
    torch.manual_seed(2)
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)
    model = nn.Sequential(*layers).double().train()
    first, second = (Batch(torch.randn(6, 1, 4, 4).double(), torch.randint(0, 4, (6,))) for _ in range(2))
    weights = nn.utils.parameters_to_vector(model.parameters()).detach()
    vector = torch.randn_like(weights)

    def slope(at: torch.Tensor) -> torch.Tensor:
        nn.utils.vector_to_parameters(at, model.parameters())
        return (batch_gradient(model, first) + batch_gradient(model, second)) / 2

    difference = (slope(weights + 1e-5 * vector) - slope(weights - 1e-5 * vector)) / 2e-5
    nn.utils.vector_to_parameters(weights, model.parameters())
    assert torch.allclose(hessian_product(model, [first, second], vector), difference, rtol=1e-6, atol=1e-7)
    noise = noise_vector(model, first, second)
    assert torch.allclose(noise * 2**0.5 + batch_gradient(model, second), batch_gradient(model, first))
    assert float(noise.norm()) > 0.0
