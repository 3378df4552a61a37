"""Which averages are compared with which trips. Needs no torch: a stage plans before any worker starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sidetrip.config import Config
from sidetrip.kernels import Kernel, Schedule
from sidetrip.randomness import generator


@dataclass(frozen=True)
class Case:
    """One averaging kernel with its name and window in steps."""

    name: str
    kernel: Kernel

    @property
    def window(self) -> int:
        """Steps from the branch point to the newest iterate."""
        return self.kernel.steps


def cases(config: Config) -> list[Case]:
    """The kernels to compare."""
    trips = config.side_trips
    return [
        *(Case("swa", Kernel.swa(k)) for k in trips.windows),
        *(Case("two_point", Kernel.two_point(k)) for k in trips.two_point_windows),
        Case("ema", Kernel.ema(trips.ema_steps, newest=trips.ema_newest)),
    ]


def widest(compared: Iterable[Case]) -> list[Case]:
    """The widest case of each name."""
    return list({case.name: case for case in sorted(compared, key=lambda c: c.window)}.values())


def controls(config: Config) -> list[tuple[Case, Case]]:
    """Kernels that are not equivalent to the trip of the case beside them: negative controls.

    Only a kernel that is not symmetric in time can be told from its reverse, and only one that is not
    flat from its shuffled self: EMA.
    """
    trips = config.side_trips
    true = Kernel.ema(trips.ema_steps, newest=trips.ema_newest)
    shuffled = generator("side_trips", "shuffled").permutation(true.weights)
    ema = Case("ema", true)
    return [(Case("ema_reversed", Kernel(true.weights[::-1])), ema), (Case("ema_shuffled", Kernel(shuffled)), ema)]


def shared_trips(compared: Iterable[Case]) -> list[tuple[Schedule, list[Case]]]:
    """Fewest trips that pass the end of every case: one whose schedule begins a longer one rides on it."""
    trips: list[tuple[Schedule, list[Case]]] = []
    for case in sorted(compared, key=lambda c: -c.window):
        schedule = case.kernel.schedule()
        for longer, riders in trips:
            if np.array_equal(longer.multipliers[: schedule.steps], schedule.multipliers):
                riders.append(case)
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


def starts_between(config: Config) -> list[int]:
    """Steps, other than branch points, from which windows of the running averages begin.

    Those that begin at branch points are averaged there anyway.
    """
    last = config.burn_in.steps - longest(config)
    return sorted({*range(0, last + 1, config.side_trips.every)} - {*config.branch.points})
