"""Plan of the forecasts: which decays are forecast, and which cool-downs are run to judge that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import replay_steps
from sidetrip.experiments.work import Work, scoring, training
from sidetrip.kernels import DECAYS, Kernel
from sidetrip.snapshots import SnapshotAverage, nearest_average

MOMENTARY, MERGED, COOL_DOWN = "momentary", "merged", "cool-down"  # models
NO_DECAY = "none"  # the decay of a momentary model
SCORED_ON = ("validation",)
ALONG = ["seed", "step", "decay", "window_steps", "model", "loss", "accuracy"]
COOL_DOWNS = ["seed", "branch", "decay", "window_steps", "spacing_steps", "model", "loss", "accuracy"]


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
    decay : str
        Name of the decay that it stands for.
    spacing : int
        Steps between the iterates.
    kernel : Kernel
        Its weights over the branch point and all iterates of the window.
    """

    decay: str
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
    for decay, schedule in DECAYS.items():
        for spacing in spacings(config, window):
            steps = range(begin, begin + window + 1, spacing)
            weights = np.zeros(window + 1)
            weights[::spacing] = nearest_average(steps, schedule(window), rates).coefficients
            found.append(SparseAverage(decay, spacing, Kernel(weights)))
    return found


def merged_at(config: Config, rates: np.ndarray, window: int) -> list[tuple[int, str, SnapshotAverage]]:
    """The averages of the run's own snapshots that stand for a decay that ends at each snapshot of its second half."""
    snapshots = _snapshots(config)
    return [
        (end, decay, nearest_average(snapshots, schedule(window), rates, end))
        for end in _ends(config, window)
        for decay, schedule in DECAYS.items()
    ]


def _snapshots(config: Config) -> range:
    return range(0, config.burn_in.steps + 1, config.burn_in.snapshot_every)


def _ends(config: Config, window: int) -> list[int]:
    """Snapshots of the second half of the run that lie a window behind its start."""
    return [end for end in _snapshots(config) if end >= max(config.burn_in.steps / 2, window)]


def work(config: Config, unit: Along | CoolDown) -> Work:
    """Training steps of a unit, and the models that it scores."""
    windows, shapes = config.forecast.windows, len(DECAYS)
    if isinstance(unit, Along):
        models = len(_ends(config, unit.window)) * (shapes + scores_momentary(config, unit))
        return scoring(config, models, SCORED_ON)
    models = sum(1 + shapes * (1 + len(spacings(config, window))) for window in windows)
    steps = replay_steps(config, [unit.begin]) + windows[-1] + shapes * sum(windows)
    return training(config, steps) + scoring(config, models, SCORED_ON)


PLAN = Plan("forecast", units, work)
