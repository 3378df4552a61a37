"""The average of iterates as sparse as snapshots are, that stands for a decay."""

from __future__ import annotations

import numpy as np

from sidetrip.kernels import DECAYS, Kernel
from sidetrip.snapshots import nearest_average


def sparse_kernel(decay: str, rates: np.ndarray, begin: int, window: int, spacing: int) -> Kernel:
    """The kernel of evenly spaced iterates that is nearest to a decay.

    Parameters
    ----------
    decay : str
        Its name.
    rates : ndarray, shape (steps,)
        λ of every step of the main trajectory.
    begin, window : int
        Step of the branch point, steps of the decay.
    spacing : int
        Steps between the iterates, a divisor of the window.
    """
    weights = np.zeros(window + 1)
    steps = range(begin, begin + window + 1, spacing)
    weights[::spacing] = nearest_average(steps, DECAYS[decay](window), rates).coefficients
    return Kernel(weights)
