"""The analytic model of the paper's §4 and Appendix A: solved exactly, and simulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from sidetrip.kernels import Kernel


def stationary_covariance(omega: ArrayLike, rate: float, kernel: Kernel) -> NDArray[np.float64]:
    """Covariance [d, d] of û = Σ_j w_j u_j, of iterates of u_{t+1} = (I - λΩ) u_t + λ ξ_t, ξ ~ N(0, I); stationary.

    Exact for every stable Ω [d, d]. The paper's eq. 19 holds only where Γ = I - λΩ is symmetric: it uses
    Γ^a (Γᵀ)^b = Γ^{a+b}.

    Raises
    ------
    ValueError
        If Ω is not square or I - λΩ is not a contraction (spectral radius >= 1).
    """
    matrix = np.asarray(omega, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"omega must be a square matrix, got shape {matrix.shape}")
    gamma = np.eye(len(matrix)) - rate * matrix
    radius = np.abs(np.linalg.eigvals(gamma)).max()
    if radius >= 1.0:
        raise ValueError(f"no stationary distribution: I - {rate:g}·omega has spectral radius {radius:.6g}; lower rate")
    iterates = solve_discrete_lyapunov(gamma, rate**2 * np.eye(len(matrix)))
    # F = Σ_{j,k} w_j w_k E[u_j u_kᵀ] = C_0 Σ + Σ_{d>=1} C_d (Γ^d Σ + (Γ^d Σ)ᵀ).
    lagged = _lagged(kernel, gamma, iterates)
    return kernel.autocorrelation[0] * iterates + lagged + lagged.T


def _lagged(kernel: Kernel, gamma: NDArray[np.float64], iterates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ_{d>=1} C_d Γ^d Σ, by Horner's rule."""
    lagged = np.zeros_like(gamma)
    for correlation in kernel.autocorrelation[:0:-1]:
        lagged = gamma @ (correlation * iterates + lagged)
    return lagged


def equation_19(omega: ArrayLike, rate: float, kernel: Kernel) -> NDArray[np.float64]:
    """The paper's closed form λ(2Ω - λΩ²)⁻¹ (C_0 + 2 Σ_{d>=1} C_d Γ^d): exact only where Ω is symmetric.

    Parameters and result as in `stationary_covariance`; its special cases are eq. 20 (two-point) and
    eq. 21 (n-point).
    """
    matrix = np.asarray(omega, dtype=np.float64)
    identity = np.eye(len(matrix))
    total = 2.0 * _lagged(kernel, identity - rate * matrix, identity) + kernel.autocorrelation[0] * identity
    return np.asarray(rate * np.linalg.solve(2.0 * matrix - rate * matrix @ matrix, total), dtype=np.float64)


def simulate(
    omega: ArrayLike,
    rate: float,
    kernels: Sequence[Kernel],
    replicas: int,
    warm_up: int,
    random: torch.Generator,
) -> list[Tensor]:
    """Averages of the iterates of u_{t+1} = (I - λΩ) u_t + λ ξ_t (eq. 14), with Ω [d, d], for many replicas at once.

    Parameters
    ----------
    kernels : sequence of Kernel
        All end at the last step of the same trajectories.
    replicas : int
        Independent trajectories, all from u = 0.
    warm_up : int
        Steps before the longest kernel's window begins.
    random : torch.Generator
        Source of ξ ~ N(0, I).

    Returns
    -------
    list of Tensor, float64 [replicas, d]
        û of each kernel.
    """
    matrix = torch.as_tensor(omega, dtype=torch.float64)
    contraction = (torch.eye(len(matrix), dtype=torch.float64) - rate * matrix).T
    u = torch.zeros(replicas, len(matrix), dtype=torch.float64)
    averages = [torch.zeros_like(u) for _ in kernels]
    window = max(kernel.steps for kernel in kernels)
    for step in range(1, warm_up + window + 1):
        u = u @ contraction + rate * standard_normal(u.shape, random)
        for kernel, average in zip(kernels, averages, strict=True):
            index = step - warm_up - window + kernel.steps
            if index >= 0:
                average.add_(u, alpha=float(kernel.weights[index]))
    return averages


def standard_normal(shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Draws from N(0, I).

    Drawn in float32, which is four times as fast on a CPU, and summed in float64: their rounding, 6e-8, is nothing
    beside a Monte-Carlo error.
    """
    return torch.randn(tuple(shape), generator=random, dtype=torch.float32).double()


def stochastic_step(theta: Tensor, rate: float, a: Tensor | None, c: Tensor) -> Tensor:
    """One step θ - λ Aᵀ(Aθ + c) on the loss ‖Aθ + c‖²/2 of one sample (eq. 5), of weights θ [replicas, d].

    Each replica has a sample of its own, c [replicas, d] and A [replicas, d, d]; None stands for the identity.
    """
    if a is None:
        return theta - rate * (theta + c)
    residual = (a * theta[:, None, :]).sum(dim=2) + c
    return theta - rate * (a * residual[:, :, None]).sum(dim=1)


def drag_and_drift(theta: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Split gradients [replicas, d] along and across θ: γ [replicas] and ξ [replicas, d] of g = γ θ + ξ (eq. 6, 7).

    γ is that of the whole gradient. The paper takes it from A_x alone and assumes the rest orthogonal to
    θ, which holds only in the mean; with the whole gradient eq. 8 is exact step by step.
    """
    gamma = (theta * gradient).sum(dim=1) / squared_norm(theta)
    return gamma, gradient - gamma[:, None] * theta


def change_of_norm(theta: Tensor, rate: float, gamma: Tensor, drift: Tensor) -> Tensor:
    """Change in squared norm that eq. 8 gives: -λγ(2 - λγ)‖θ‖² + λ²‖ξ‖², [replicas]."""
    shrink = rate * gamma
    return -shrink * (2.0 - shrink) * squared_norm(theta) + rate**2 * squared_norm(drift)


def squared_norm(vectors: Tensor) -> Tensor:
    """Squared Euclidean norm of each row."""
    return vectors.square().sum(dim=1)
