"""Which averages are compared with which trips. Needs no torch: a stage plans before any worker starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sidetrip.config import Config
from sidetrip.engine.randomness import generator
from sidetrip.experiments.methods import METHODS
from sidetrip.kernels import Kernel, Schedule

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


@dataclass(frozen=True)
class Stretch:
    """A stretch of a main trajectory, by the steps that windows of running averages begin with there."""

    seed: int
    starts: tuple[int, ...]


def stretches(config: Config) -> list[Stretch]:
    """Where running averages run, on the main trajectory of the first seed: figures draw that one.

    Windows share a pass where, each in a pass of its own from the snapshot before it, they would take a step twice.
    """
    window, snapshots = longest(config), config.burn_in.snapshot_every
    found: list[list[int]] = []
    for start in range(0, config.burn_in.steps - window + 1, config.side_trips.every):
        if found and start - start % snapshots < found[-1][-1] + window:
            found[-1].append(start)
        else:
            found.append([start])
    return [Stretch(config.seeds[0], tuple(starts)) for starts in found]


def stretch_steps(config: Config, stretch: Stretch) -> int:
    """Steps from the first window's start to the last one's end."""
    return stretch.starts[-1] + longest(config) - stretch.starts[0]
