"""Which branch points there are, and what a replay to them costs."""

from helpers import smoke_config

from sidetrip.experiments.divergence import plan as divergence
from sidetrip.experiments.divergence.plan import ToTheEnd
from sidetrip.experiments.units import branch_points, late_branch_points, points_of, replay_steps


def test_the_first_seeds_alone_have_early_branch_points():
    config = smoke_config(**{"seeds": [7, 3, 5], "branch.early": [10], "branch.early_seeds": 2})
    assert [tuple(points_of(config, seed)) for seed in config.seeds] == [(10, 20, 30), (10, 20, 30), (20, 30)]
    points = [(point.seed, point.step) for point in branch_points(config)]
    late = [(point.seed, point.step) for point in late_branch_points(config)]
    assert sorted(set(points) - set(late)) == [(3, 10), (7, 10)]
    assert len(points) == len(set(points)) == 8
    none = smoke_config(**{"seeds": [7], "branch.early": [10], "branch.early_seeds": 0})
    assert tuple(points_of(none, 7)) == (20, 30)
    assert ToTheEnd(7, 10) in divergence.units(none)
    more = smoke_config(**{"seeds": [7], "branch.early_seeds": 2})
    assert tuple(points_of(more, 7)) == (10, 20, 30)


def test_a_replay_goes_on_from_the_nearest_state_before():
    config = smoke_config(**{"burn_in.snapshot_every": 15, "experiments.forecast": False})  # and at the end, step 40
    assert replay_steps(config, [3, 5, 15, 22, 24, 40, 18]) == 3 + 2 + 0 + 7 + 2 + 0 + 3
    assert replay_steps(config, []) == 0
