"""Distances between trips, against trips that are run one by one."""

import pytest
from helpers import advanced, random_lab, smoke_config

from sidetrip.engine.state import distance, lerp
from sidetrip.engine.training import advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.divergence import measure as divergence
from sidetrip.experiments.divergence.verdict import along_trips, distances_along
from sidetrip.experiments.side_trips import measure as side_trips
from sidetrip.experiments.units import BranchPoint

POINT = BranchPoint(0, 20)


def independent(lab, start, steps):
    rates = lab.rates[start.step : start.step + steps].tolist()
    return advance(lab.model(), start, lab.stream(0, f"independent/{start.step}"), rates, lab.optimizer)


def test_distances_along_trips(lab, branched):
    """Against trips that are run: the main trajectory's states are those of a trip at its rate on its batches."""
    start, tables = lab.branch_point(0, 20), divergence.measure(lab, POINT)
    distances, along = tables["trip_distances"], tables["to_independent_end"]
    assert distances["trip_step"].tolist() == [0, 1, 5, 10]
    for row in distances.itertuples():
        here, there = advanced(lab, start, row.trip_step), independent(lab, start, row.trip_step)
        assert (row.trip_to_start, row.trip_to_independent) == (distance(here, start), distance(here, there))
    assert along["step"].tolist() == [0, 15, 30, 40]
    end = independent(lab, start, lab.config.burn_in.steps - 20)  # to the end of the run, as the paper's
    for row in along.itertuples():
        assert row.distance == distance(lab.snapshot(0, row.step), end)


def test_the_midpoint_and_half_the_rate_are_a_case_of_the_comparison(lab, branched):
    """Fig. 6 from the tables of the averaging comparison, against a midpoint and a trip written out."""
    start, trips = lab.branch_point(0, 20), side_trips.measure(lab, POINT)
    losses = along_trips(trips["side_trips"])
    apart = divergence.measure(lab, POINT)["trip_distances"]
    distances = distances_along(apart, trips["distances"]).set_index("trip_step")
    end = advanced(lab, start, 10)
    half_rate = advanced(lab, start, 10, rates=0.5 * lab.rates[20:30])
    models = {"trip": end, "midpoint": lerp(start, end, 0.5), "half_rate": half_rate}
    row = losses.query("trip_step == 10 and split == 'validation'").iloc[0]
    for name, state in models.items():
        loss = dict(evaluator.scores(lab, state))["validation"].loss
        assert row[name] == pytest.approx(loss, rel=1e-5), name
        assert distances.loc[10, f"{name}_to_start"] == pytest.approx(distance(state, start), rel=1e-5), name
    expected = distance(models["midpoint"], models["half_rate"])
    assert distances.loc[10, "midpoint_to_half_rate"] == pytest.approx(expected, rel=1e-4)


def test_an_independent_trip_that_diverges_leaves_holes(lab, branched, monkeypatch):
    """Its distances are empty, and those to the branch point are there."""
    real = divergence.independent_states

    def lost(lab, start, seed, looks):
        found = real(lab, start, seed, looks)
        return {look: found[look] for look in (0, 1)}

    monkeypatch.setattr(divergence, "independent_states", lost)
    tables = divergence.measure(lab, POINT)
    assert tables["trip_distances"]["trip_to_independent"].isna().tolist() == [False, False, True, True]
    assert tables["trip_distances"]["trip_to_start"].notna().all()
    assert tables["to_independent_end"].empty


def test_a_trip_that_diverges_has_fewer_states(tmp_path, lab, branched):
    hot = random_lab(tmp_path, smoke_config())
    hot.rates = hot.rates * 1e30
    found = divergence.independent_states(hot, lab.branch_point(0, 20), 0, [0, 1, 5, 10])
    assert 0 in found
    assert 10 not in found
