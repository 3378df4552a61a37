"""Which units there are, and that what they tell of adds up to the work by which they are ordered and planned."""

import pytest
from helpers import smoke_config

from sidetrip.engine.lab import Lab
from sidetrip.experiments.divergence import plan as divergence
from sidetrip.experiments.divergence.plan import ToTheEnd
from sidetrip.experiments.registry import plans
from sidetrip.experiments.units import branch_points, late_branch_points, points_of, replay_steps
from sidetrip.files import UnitFolders
from sidetrip.runtime.experiment import measure_in

BY_WHAT_IS_FOUND = {"fixed_batch", "single_step"}  # line searches, and step sizes that have been measured before


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.name)
def test_units_tell_of_all_their_work(lab, branched, tmp_path, monkeypatch, plan):
    lab = Lab(smoke_config(), lab.runs, lab.device)  # whose settings ask for less
    seeds = ("seed", "other_seed")  # of others than the first there is no run here
    units = [unit for unit in plan.units(lab.config) if not any(getattr(unit, seed, 0) for seed in seeds)]
    assert units
    # Nothing has measured the curvature here, which takes none of a forecast's work.
    monkeypatch.setattr("sidetrip.experiments.forecast.measure._curvature", lambda lab: {})
    for number, unit in enumerate(units):
        told: list[int] = []
        monkeypatch.setattr(lab, "progress", told.append)
        measure_in(lab, plan.name, unit, UnitFolders(tmp_path / str(number), tmp_path / f"{number}.progress"))
        expected = plan.work(lab.config, unit).passes
        assert sum(told) <= expected, unit
        assert sum(told) >= (0.9 if plan.name in BY_WHAT_IS_FOUND else 1) * expected, unit


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
