"""What is compared, on which trips and where: cases, looks and windows."""

from helpers import smoke_config

from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.side_trips.plan import Case, Look, cases, looks, shared_trips, widest
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


def test_the_widest_windows_are_looked_at_several_times():
    config = smoke_config()
    wide, narrow = Case("swa", Kernel.swa(10)), Case("swa", Kernel.swa(5))
    windows = {method.name: max(kernel.steps for kernel in method.kernels(config.side_trips)) for method in METHODS}
    assert {case.name: case.window for case in widest(cases(config))} == windows
    assert looks(config, wide) == [Look(10, 0, 10), Look(10, 1, 9), Look(10, 2, 8)]
    assert looks(config, narrow) == [Look(5, 0, 5)]
    of_the_run = [look.step for look in looks(config)]
    assert len(of_the_run) == len(set(of_the_run))
    assert {0, 1, 5, 10, 9, 8} <= set(of_the_run)
