"""Plan of the comparison of averages with trips: which kernels, which trips, when they are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sidetrip.config import Config
from sidetrip.engine.randomness import generator
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, branch_points
from sidetrip.experiments.work import Work, scoring, training
from sidetrip.kernels import Kernel, Schedule

MOMENTARY, AVERAGE, TRIP = "momentary", "average", "trip"  # models
BATCHES = "batches"  # beside the splits: augmented training batches, normalised by their own statistics
NO_KERNEL = "none"  # the kernel of a momentary model
SCORES = ["seed", "branch", "kernel", "window_steps", "model", "look", "split", "loss", "accuracy", "diverged"]
DISTANCES = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
MANY = 3  # different weights, from which on a kernel's order matters


@dataclass(frozen=True, eq=False)
class Case:
    """One averaging kernel with the name of its method and its window in steps."""

    name: str
    kernel: Kernel

    @property
    def window(self) -> int:
        """Steps from the branch point to the newest iterate."""
        return self.kernel.steps

    @property
    def end(self) -> Look:
        """The look at the end of the window."""
        return Look(self.window, 0, self.window)


def cases(config: Config) -> list[Case]:
    """The kernels to compare."""
    return [Case(method.name, kernel) for method in METHODS for kernel in method.kernels(config.side_trips)]


def widest(compared: Iterable[Case]) -> list[Case]:
    """The widest case of each name."""
    return list({case.name: case for case in sorted(compared, key=lambda c: c.window)}.values())


def controls(config: Config) -> list[tuple[Case, Case]]:
    """Kernels that are not equivalent to the trip of the case beside them: negative controls.

    Each method's widest kernel reversed in time and shuffled, where that changes it: a kernel that is symmetric in
    time cannot be told from its reverse, nor one that is flat (the branch point aside) from its shuffled self.
    """
    found = []
    for case in widest(cases(config)):
        weights = case.kernel.weights
        if len(np.unique(np.round(weights, 12))) < MANY:
            continue
        shuffled = generator("side_trips", "shuffled").permutation(weights)
        for name, wrong in (("reversed", weights[::-1]), ("shuffled", shuffled)):
            found.append((Case(f"{case.name}_{name}", Kernel(wrong)), case))
    return found


@dataclass(frozen=True)
class Look:
    """A moment at which a model is scored.

    Attributes
    ----------
    window : int
        Steps of the window that it belongs to.
    number : int
        0 at the end of the window, 1 at the look before, and so on.
    step : int
        Steps after the branch point.
    """

    window: int
    number: int
    step: int


def looks(config: Config, case: Case | None = None) -> list[Look]:
    """When trip and average of a case are scored; without one, when the main trajectory is, the branch point included.

    One iterate is noise: where a window is the widest of its method, its score is the mean over the last few looks.
    """
    compared = cases(config)
    several = {each.window for each in widest(compared)}
    windows = {0, *(each.window for each in compared)} if case is None else {case.window}
    if case is not None and (case.name, case.window) not in {(each.name, each.window) for each in widest(compared)}:
        several = set()
    settings = config.side_trips
    return [
        Look(window, number, step)
        for window in sorted(windows)
        for number in range(settings.looks if window in several else 1)
        if (step := window - number * settings.look_every) > 0 or number == 0
    ]


def shared_trips(compared: Iterable[Case]) -> list[tuple[Schedule, list[Case]]]:
    """The fewest trips that pass the end of every case: a schedule that begins a longer one needs none of its own."""
    trips: list[tuple[Schedule, list[Case]]] = []
    for case in sorted(compared, key=lambda c: -c.window):
        schedule = case.kernel.schedule()
        for longer, begun in trips:
            if np.array_equal(longer.multipliers[: schedule.steps], schedule.multipliers):
                begun.append(case)
                break
        else:
            trips.append((schedule, [case]))
    return trips


def longest(config: Config) -> int:
    """Steps of the longest window."""
    return max(case.window for case in cases(config))


def trip_steps(config: Config) -> int:
    """Steps that the comparison at one branch point takes, those along the main trajectory included."""
    return longest(config) + sum(schedule.steps for schedule, _ in shared_trips(cases(config)))


def work(config: Config, point: BranchPoint) -> Work:
    """The trips, and all models that are scored; the widest averages on batches, too."""
    compared = cases(config)
    models = len(looks(config)) + 2 * sum(len(looks(config, case)) for case in compared) + len(controls(config))
    on_batches = len(widest(compared)) * reference_batches(config) * config.burn_in.batch_size
    return training(config, trip_steps(config)) + scoring(config, models) + Work(scored=on_batches)


def reference_batches(config: Config) -> int:
    """Training batches that an average is scored on as a step sees them: `evaluation.train_samples`, in whole ones."""
    return max(1, config.evaluation.train_samples // config.burn_in.batch_size)


PLAN = Plan("side_trips", branch_points, work)
