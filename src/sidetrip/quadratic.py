"""The analytic model of the paper's Appendix A, solved exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_discrete_lyapunov

from sidetrip.kernels import Kernel


def stationary_covariance(omega: ArrayLike, rate: float, kernel: Kernel) -> NDArray[np.float64]:
    """Stationary covariance of an average of the iterates of u_{t+1} = (I - λΩ) u_t + λ ξ_t, ξ ~ N(0, I).

    Exact for every stable Ω. The paper's eq. 19 holds only where Γ = I - λΩ is symmetric: it uses
    Γ^a (Γᵀ)^b = Γ^{a+b}.

    Parameters
    ----------
    omega : array_like, shape (d, d)
        Ω.
    rate : float
        λ.
    kernel : Kernel
        Averaging weights; the newest iterate has the last one.

    Returns
    -------
    ndarray, shape (d, d)
        Covariance of û = Σ_j w_j u_j.

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
    # F = Σ_{j,k} w_j w_k E[u_j u_kᵀ] = C_0 Σ + Σ_{d>=1} C_d (Γ^d Σ + (Γ^d Σ)ᵀ), by Horner's rule in Γ.
    lagged = np.zeros_like(gamma)
    for correlation in kernel.autocorrelation[:0:-1]:
        lagged = gamma @ (correlation * iterates + lagged)
    return kernel.autocorrelation[0] * iterates + lagged + lagged.T
