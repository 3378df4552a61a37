"""The average of iterates as sparse as snapshots are, that stands for a decay."""

import numpy as np

from sidetrip.config import Config
from sidetrip.kernels import DECAYS, Kernel
from sidetrip.measure.second_order import Spectrum, predict
from sidetrip.snapshots import nearest_average


def sparse_kernel(decay: str, rates: np.ndarray, begin: int, window: int, spacing: int) -> Kernel:
    """The kernel of evenly spaced iterates that is nearest to a decay, which takes `window` steps from `begin` on.

    Rates are λ of every step of the main trajectory, shape (steps,); the spacing of the iterates divides the window.
    """
    weights = np.zeros(window + 1)
    steps = range(begin, begin + window + 1, spacing)
    weights[::spacing] = nearest_average(steps, DECAYS[decay](window), rates).coefficients
    return Kernel(weights)


def predicted_difference(config: Config, decay: str, window: int, spacing: int, spectrum: Spectrum) -> float:
    """(average - trip) ÷ gain of such an average at the run's constant rate, by the analytic model."""
    rate = config.burn_in.rate
    kernel = sparse_kernel(decay, np.full(window, rate), 0, window, spacing)
    return predict(kernel, DECAYS[decay](window), spectrum, rate, config.burn_in.optimizer.momentum).difference
