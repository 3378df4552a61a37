"""What a unit tells that it has done adds up to its work, by which it is ordered and planned."""

import pytest

from sidetrip.experiments.registry import plans
from sidetrip.files import UnitFolders
from sidetrip.runtime.experiment import measure_in

BY_WHAT_IS_FOUND = {"fixed_batch", "single_step"}  # line searches, and step sizes that have been measured before


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.name)
def test_units_tell_of_all_their_work(lab, branched, tmp_path, monkeypatch, plan):
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
