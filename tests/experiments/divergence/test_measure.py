"""Distances between trips, against trips that are run one by one."""

import pytest
from helpers import advanced, random_lab, smoke_config

from sidetrip.engine.state import distance, lerp
from sidetrip.engine.training import advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.divergence import measure as divergence
from sidetrip.experiments.divergence.plan import ToTheEnd, looks, units
from sidetrip.experiments.units import BranchPoint

POINT = BranchPoint(0, 20)


def test_trips_leave_the_last_branch_point_and_one_to_the_end_the_first_early_one():
    config = smoke_config(**{"seeds": [3, 5], "branch.early": [5, 10]})
    found = [BranchPoint(3, 30), BranchPoint(5, 30), ToTheEnd(3, 5), ToTheEnd(5, 5)]
    assert sorted(map(repr, units(config))) == sorted(map(repr, found))


def independent(lab, start, steps):
    rates = lab.rates[start.step : start.step + steps].tolist()
    return advance(lab.model(), start, lab.stream(0, f"independent/{start.step}"), rates, lab.optimizer)


def test_every_look_against_trips_written_out(lab, branched):
    """The main trajectory's states are those of a trip at its rate on its batches."""
    start, tables = lab.branch_point(0, 20), divergence.measure(lab, POINT)
    distances, losses = (tables[name].set_index("trip_step") for name in ("trip_distances", "trip_losses"))
    assert distances.index.tolist() == looks(lab.config)
    assert losses.index.drop_duplicates().tolist() == [0, *looks(lab.config)]
    assert losses.loc[0, "loss"].nunique() == 1
    for look in (1, 6, 10):
        end, half = advanced(lab, start, look), advanced(lab, start, look, rates=0.5 * lab.rates[20 : 20 + look])
        models = {"trip": end, "midpoint": lerp(start, end, 0.5), "half_rate": half}
        row = distances.loc[look]
        assert row["trip_to_independent"] == distance(end, independent(lab, start, look))
        for name, state in models.items():
            assert row[f"{name}_to_start"] == pytest.approx(distance(state, start), rel=1e-5), name
            loss = losses.loc[look].set_index("model").loc[name, "loss"]
            assert loss == pytest.approx(dict(evaluator.scores(lab, state))["train"].loss, rel=1e-5), name
        assert row["midpoint_to_half_rate"] == pytest.approx(distance(models["midpoint"], half), rel=1e-4)


@pytest.mark.parametrize("step", [10, 15])
def test_the_independent_trip_goes_from_the_early_point_to_the_end_of_the_run(lab, snapshots, step):
    along = divergence.measure(lab, ToTheEnd(0, step))["to_independent_end"]
    assert along["step"].tolist() == [at for at in range(0, 41, 5) if at >= step]
    (start,) = lab.replay(0, [step])
    end = independent(lab, start, lab.config.burn_in.steps - step)
    for row in along.itertuples():
        here = start if row.step == step else lab.snapshot(0, row.step)
        assert row.distance == distance(here, end)


@pytest.mark.parametrize(("widest", "expected"), [(3, [1, 2, 3]), (10, range(1, 11)), (400, range(40, 401, 40))])
def test_trips_are_looked_at_ten_times_or_at_every_step(widest, expected):
    changes = {"burn_in.steps": 1000, "side_trips.two_point_windows": [1, widest], "divergence.looks": 10}
    config = smoke_config(**changes)
    assert looks(config) == list(expected)


def test_a_trip_that_diverges_leaves_holes(lab, branched, monkeypatch):
    """Those to the branch point are there; an independent trip that is lost has no end."""
    real = divergence.states_along

    def lost(lab, start, seed, looked_at, stream="train", factor=1.0):
        found = real(lab, start, seed, looked_at, stream, factor)
        kept = {look: state for look, state in found.items() if look <= 4}
        return found if (stream, factor) == ("train", 1.0) else kept

    monkeypatch.setattr(divergence, "states_along", lost)
    tables = divergence.measure(lab, POINT)
    apart = tables["trip_distances"].set_index("trip_step")
    for column in ("trip_to_independent", "half_rate_to_start", "midpoint_to_half_rate"):
        assert (apart[column].isna() == (apart.index > 4)).all()
    assert apart[["trip_to_start", "midpoint_to_start"]].notna().all(axis=None)
    losses = tables["trip_losses"]
    assert (losses["loss"].isna() == ((losses["trip_step"] > 4) & (losses["model"] == "half_rate"))).all()
    assert divergence.measure(lab, ToTheEnd(0, 15))["to_independent_end"].empty


def test_a_trip_that_diverges_has_fewer_states(tmp_path, lab, branched):
    hot = random_lab(tmp_path, smoke_config())
    hot.rates = hot.rates * 1e30
    found = divergence.states_along(hot, lab.branch_point(0, 20), 0, [0, 1, 5, 10])
    assert 0 in found
    assert 10 not in found
