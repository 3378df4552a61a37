"""Which decays are forecast, and which cool-downs are run to judge that. Needs no torch: a stage plans with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidetrip.config import Config
from sidetrip.experiments.decays import DECAYS, Decay
from sidetrip.kernels import Kernel
from sidetrip.snapshots import SnapshotAverage, nearest_average


@dataclass(frozen=True)
class Along:
    """The averages of a main trajectory's snapshots that stand for decays over one window, wherever they end."""

    seed: int
    window: int


@dataclass(frozen=True)
class CoolDown:
    """The real decays that begin at a step of a main trajectory."""

    seed: int
    begin: int


@dataclass(frozen=True, eq=False)
class SparseAverage:
    """An average of evenly spaced iterates over a window, the branch point and the newest among them.

    Attributes
    ----------
    decay : Decay
        That it stands for.
    spacing : int
        Steps between the iterates.
    kernel : Kernel
        Its weights over the branch point and all iterates of the window.
    """

    decay: Decay
    spacing: int
    kernel: Kernel


def units(config: Config) -> list[Along | CoolDown]:
    """The first main trajectory, along which snapshots are merged over each window, and the cool-downs of all."""
    along = [Along(config.seeds[0], window) for window in config.forecast.windows]
    downs = [CoolDown(seed, begin) for seed in config.seeds for begin in config.forecast.begins]
    return [*along, *downs]


def scores_momentary(config: Config, unit: Along) -> bool:
    """Whether a unit scores the run itself too: that of the narrowest window does, which ends at the most snapshots."""
    return unit.window == config.forecast.windows[0]


def spacings(config: Config, window: int) -> list[int]:
    """Steps between the iterates of the averages over a window: those of the snapshots; more for the widest window."""
    widest = window == config.forecast.windows[-1]
    others = {window // intervals for intervals in config.forecast.intervals} if widest else set()
    return sorted({config.burn_in.snapshot_every, *others})


def sparse_averages(config: Config, rates: np.ndarray, begin: int, window: int) -> list[SparseAverage]:
    """The averages over a window after a branch point that stand for each decay, at each spacing.

    Parameters
    ----------
    config : Config
        For the spacings.
    rates : ndarray, shape (steps,)
        λ of every step of the main trajectory.
    begin, window : int
        Step of the branch point, steps of the decay.
    """
    found = []
    for decay in DECAYS:
        for spacing in spacings(config, window):
            steps = range(begin, begin + window + 1, spacing)
            weights = np.zeros(window + 1)
            weights[::spacing] = nearest_average(steps, decay.schedule(window), rates).coefficients
            found.append(SparseAverage(decay, spacing, Kernel(weights)))
    return found


def merged_at(config: Config, rates: np.ndarray, window: int) -> list[tuple[int, Decay, SnapshotAverage]]:
    """The averages of the run's own snapshots that stand for a decay that ends at each snapshot of its second half."""
    snapshots = _snapshots(config)
    return [
        (end, decay, nearest_average(snapshots, decay.schedule(window), rates, end))
        for end in _ends(config, window)
        for decay in DECAYS
    ]


def _snapshots(config: Config) -> range:
    return range(0, config.burn_in.steps + 1, config.burn_in.snapshot_every)


def _ends(config: Config, window: int) -> list[int]:
    """Snapshots of the second half of the run that lie a window behind its start."""
    return [end for end in _snapshots(config) if end >= max(config.burn_in.steps / 2, window)]


def steps_of(config: Config, unit: Along | CoolDown) -> int:
    """Training steps of a unit: those along the main trajectory, and of a cool-down for each decay and window."""
    windows = config.forecast.windows
    return 0 if isinstance(unit, Along) else windows[-1] + len(DECAYS) * sum(windows)


def scored_of(config: Config, unit: Along | CoolDown) -> int:
    """Models of a unit that are scored."""
    windows, shapes = config.forecast.windows, len(DECAYS)
    if isinstance(unit, CoolDown):
        return sum(1 + shapes * (1 + len(spacings(config, window))) for window in windows)
    return len(_ends(config, unit.window)) * (shapes + scores_momentary(config, unit))


def scoring_cost(config: Config) -> float:
    """How many training steps take as long as one model that is scored; a step goes through a picture three times."""
    settings = config.evaluation
    # How many "all" validation samples are is known only once the pictures are packed; this orders units, no more.
    samples = settings.recalibration_samples + (settings.validation_samples or settings.train_samples)
    return samples / (3 * config.burn_in.batch_size)


def forecast_cost(config: Config, unit: Along | CoolDown) -> float:
    """What a unit reports as done, in training steps: those taken, and the models scored."""
    return steps_of(config, unit) + scored_of(config, unit) * scoring_cost(config)
