"""What is compared, on which trips and where: cases, looks and windows."""

import numpy as np
import pytest
from helpers import smoke_config

from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.side_trips import plan
from sidetrip.experiments.side_trips.plan import Case, Look, cases, controls, last_half, looks, shared_trips, widest
from sidetrip.kernels import Kernel


def test_trips_share_a_run_where_one_schedule_begins_another():
    compared = [Case("two_point", Kernel.two_point(k)) for k in (1, 4, 9)]
    compared += [Case("swa", Kernel.swa(k)) for k in (4, 9)]
    shared = shared_trips(compared)
    assert sorted((schedule.steps, sorted(case.window for case in begun)) for schedule, begun in shared) == [
        (4, [4]),
        (9, [1, 4, 9]),
        (9, [9]),
    ]


def test_the_run_alone_is_looked_at_several_times_at_the_widest_windows():
    config = smoke_config()
    windows = {method.name: max(kernel.steps for kernel in method.kernels(config.side_trips)) for method in METHODS}
    assert {case.name: case.window for case in widest(cases(config))} == windows
    wide = [Look(10, 0, 10), Look(10, 1, 9), Look(10, 2, 8)]
    assert looks(config) == [Look(0, 0, 0), Look(1, 0, 1), Look(5, 0, 5), *wide]


def test_a_kernel_that_is_symmetric_in_time_has_no_reversed_control(monkeypatch):
    """Two points or a flat kernel have no shuffled one either."""
    kernels = {"two_point": [0.5, 0, 0, 0.5], "bump": [0.1, 0.2, 0.4, 0.2, 0.1], "ramp": [0.0, 0.1, 0.2, 0.3, 0.4]}
    monkeypatch.setattr(plan, "cases", lambda config: [Case(name, Kernel(w)) for name, w in kernels.items()])
    found = {wrong.name: (wrong.kernel.weights, true) for wrong, true in controls(smoke_config())}
    assert sorted(found) == ["bump_shuffled", "ramp_reversed", "ramp_shuffled"]
    for weights, true in found.values():
        assert sorted(weights) == sorted(true.kernel.weights)
        assert not np.allclose(weights, true.kernel.weights)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_the_average_of_the_last_half_is_the_mean_of_its_iterates(steps):
    path = np.arange(steps + 1.0)
    assert last_half(steps).weights @ path == pytest.approx(path[steps // 2 + 1 :].mean())
