"""Curvature of the training loss in the directions of its gradient noise: Lanczos quadrature of the Hessian.

With H = Σ_i κ_i u_i u_iᵀ, a vector n has the measure Σ_i (n·u_i)² δ(κ_i) on the axis of curvatures; that of gradient
noise says how much of it lies in directions of each curvature. m products of H and a vector give the m nodes and
weights of its Gauss quadrature.

curvlinops (3.0) has neither as needed here: its Hessian fails with BatchNorm in training mode, and its quadrature
starts from random vectors only, without orthogonalising them again.

References
----------
Golub, Meurant, "Matrices, Moments and Quadrature with Applications", 2010, chapters 4 and 6.
DOI 10.1515/9781400833887.
Ghorbani, Krishnan, Xiao, "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density", 2019.
DOI 10.48550/arXiv.1901.10159.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor, nn

from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import ieee_products
from sidetrip.engine.gradients import gradient, twice_differentiable
from sidetrip.engine.training import batch_loss
from sidetrip.measure.second_order import Spectrum

ROUNDING = 100.0  # units in the last place: as much of a product may be rounding, of which no new vector is made


def batch_gradient(model: nn.Module, batch: Batch) -> Tensor:
    """Gradient of the loss of a batch, [parameters], in full single precision."""
    with ieee_products():
        return _flat(gradient(batch_loss(model, batch), model))


def noise_vector(model: nn.Module, first: Batch, second: Batch) -> Tensor:
    """Difference of the gradients of two independent batches, over √2, [parameters].

    Its mean is 0 and its covariance that of the gradient of one batch: the mean gradient need not be known.
    """
    return (batch_gradient(model, first) - batch_gradient(model, second)) / math.sqrt(2.0)


def hessian_product(model: nn.Module, batches: Sequence[Batch], vector: Tensor) -> Tensor:
    """Hessian of the mean loss of some batches times a vector, by double backward passes in full single precision.

    The batches are of one size, the vector [parameters] is in the order of the parameters that are trained. In training
    mode BatchNorm normalises each batch by itself, as the run does, and its buffers change.

    References
    ----------
    Pearlmutter, "Fast exact multiplication by the Hessian", 1994. DOI 10.1162/neco.1994.6.1.147.
    """
    total = torch.zeros_like(vector)
    for batch in batches:
        with ieee_products(), twice_differentiable():
            slope = torch.dot(_flat(gradient(batch_loss(model, batch), model, differentiable=True)), vector)
            total += _flat(gradient(slope, model))
    return total / len(batches)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def lanczos_quadrature(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Spectrum:
    """Gauss quadrature of the measure of a vector on the axis of the eigenvalues of a symmetric matrix H.

    The sum of power × f(curvature) is startᵀ f(H) start, exactly where f is a polynomial of degree below 2 steps.

    Parameters
    ----------
    product : callable
        v → H v.
    start : Tensor [n]
        Not 0; the powers sum to its squared length.
    steps : int
        Nodes, each for one product; fewer where the start lies in an invariant space of fewer dimensions.

    Raises
    ------
    ValueError
        If the start is 0, or it or a product is not finite.
    """
    length = float(start.norm())
    if length == 0.0:
        raise ValueError("the start of a Lanczos quadrature is 0; start from another vector")
    basis = (start / length)[:, None]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[:, -1])
        if not bool(image.isfinite().all()):
            raise ValueError("a product of the Hessian is not finite; lower the learning rate")
        diagonal.append(float(torch.dot(image.double(), basis[:, -1].double())))
        rest = image
        for _ in range(2):  # once leaves rounding behind, and vectors that are not orthogonal count eigenvalues twice
            rest = rest - basis @ (basis.T @ rest)
        if len(diagonal) == steps or rest.norm() <= ROUNDING * torch.finfo(image.dtype).eps * image.norm():
            nodes, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
            return Spectrum(nodes, length**2 * vectors[0] ** 2)
        beside.append(float(rest.double().norm()))
        basis = torch.column_stack([basis, rest / beside[-1]])
