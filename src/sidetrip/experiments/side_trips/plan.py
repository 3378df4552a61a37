"""Plan of the comparison of averages with trips: which kernels, which trips, when they are looked at."""

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

SCORES = ["seed", "branch", "kernel", "window_steps", "model", "look", "split", "loss", "accuracy", "diverged"]
DISTANCES = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
MANY = 3  # different weights, from which on shuffling changes a kernel


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
    def key(self) -> tuple[str, int]:
        """Name and window."""
        return self.name, self.window

    @property
    def decays(self) -> bool:
        """Whether the rate of its trip falls on the way."""
        multipliers = self.kernel.schedule().multipliers
        return bool(multipliers[-1] < multipliers[0])


def cases(config: Config) -> list[Case]:
    """The kernels to compare."""
    return [Case(method.name, kernel) for method in METHODS for kernel in method.kernels(config.side_trips)]


def widest(compared: Iterable[Case]) -> list[Case]:
    """The widest case of each name."""
    return list({case.name: case for case in sorted(compared, key=lambda c: c.window)}.values())


def controls(config: Config) -> list[tuple[Case, Case]]:
    """Kernels that are not equivalent to the trip of the case beside them: negative controls.

    Each method's widest kernel reversed in time and shuffled, where that changes it: a kernel that is symmetric in
    time is its own reverse, and one that is flat (the branch point aside) cannot be told from its shuffled self.
    """
    found = []
    for case in widest(cases(config)):
        weights = case.kernel.weights
        if len(np.unique(np.round(weights, 12))) < MANY:
            continue
        shuffled = generator("side_trips", "shuffled").permutation(weights)
        for name, wrong in (("reversed", weights[::-1]), ("shuffled", shuffled)):
            if not np.allclose(wrong, weights, atol=1e-12):
                found.append((Case(f"{case.name}_{name}", Kernel(wrong)), case))
    return found


def last_half(steps: int) -> Kernel:
    """The mean of the iterates of the last half of a trip."""
    weights = np.zeros(steps + 1)
    weights[steps // 2 + 1 :] = 1.0 / (steps - steps // 2)
    return Kernel(weights)


@dataclass(frozen=True)
class Look:
    """A moment at which the run itself is scored."""

    window: int  # steps of the window that it belongs to
    number: int  # 0 at the end of the window, 1 at the look before, and so on
    step: int  # after the branch point


def looks(config: Config) -> list[Look]:
    """When the main trajectory is scored: at the branch point and at the end of every window.

    One iterate is noise: at the end of each method's widest window, the score is the mean over the last few looks.
    An average and a trip are compared where the kernel ends, and nowhere else.
    """
    compared, settings = cases(config), config.side_trips
    several = {case.window for case in widest(compared)}
    return [
        Look(window, number, step)
        for window in sorted({0, *(case.window for case in compared)})
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


def work(config: Config, point: BranchPoint) -> Work:
    """The main trajectory and the trips, and all models that are scored."""
    compared = cases(config)
    steps = longest(config) + sum(schedule.steps for schedule, _ in shared_trips(compared))
    averaged = sum(case.decays for case in widest(compared))
    models = len(looks(config)) + 2 * len(compared) + len(controls(config)) + averaged
    return training(config, steps) + scoring(config, models)


PLAN = Plan("side_trips", branch_points, work)
