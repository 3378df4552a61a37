"""Looks, seals and cool-downs against the same written out one model at a time."""

import hashlib
from dataclasses import replace

import pandas as pd
import pytest
import torch
from helpers import advanced, smoke_config

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import with_weights
from sidetrip.engine.training import DivergedError
from sidetrip.experiments import evaluator
from sidetrip.experiments.forecast import measure as forecast
from sidetrip.experiments.forecast.plan import looks, spacings
from sidetrip.experiments.units import Run
from sidetrip.files import UnitFolders, read_bytes
from sidetrip.kernels import DECAYS
from sidetrip.loss_forecast import WINDOWS

BEGINS = (20, 25, 30, 35)


@pytest.fixture(scope="module")
def open_lab(lab, snapshots, tmp_path_factory):
    """Opens the lab, its curvature left out, with a place of its own for what is under way."""
    config = replace(lab.config, experiments=replace(lab.config.experiments, curvature=False))

    def opened():
        found, folder = Lab(config, lab.runs, lab.device), tmp_path_factory.mktemp("unit")
        found.folders = UnitFolders(folder / "result", folder / "progress")
        return found

    return opened


@pytest.fixture(scope="module")
def here(open_lab):
    return open_lab()


@pytest.fixture(scope="module")
def tables(here):
    return forecast.measure(here, Run(0))


@pytest.fixture(scope="module")
def downs(tables):
    table = tables["cool_downs"].query("branch == 25")
    return table.set_index(["decay", "spacing_steps", "model"])["loss"]


def loss_of(lab, weights, rel=1e-8):  # the digits of a table
    found = dict(evaluator.scores(lab, with_weights(lab.snapshot(0, 15), weights)))["validation"].loss
    return pytest.approx(found, rel=rel)


@pytest.mark.parametrize("decay", DECAYS)
def test_a_cool_down_is_the_trip_with_the_decay(here, downs, decay):
    rates = here.rates[25:30] * DECAYS[decay](5).multipliers
    trip = advanced(here, here.snapshot(0, 25), 5, rates=rates)
    assert downs[decay, 0, "cool-down"] == loss_of(here, trip.weights)


def test_merged_iterates_at_every_step_are_the_average_of_the_decay(here, downs):
    iterates = [advanced(here, here.snapshot(0, 25), n).weights for n in range(6)]
    swa = {name: torch.stack([each[name] for each in iterates[1:]]).double().mean(0).float() for name in iterates[0]}
    assert downs["linear", 1, "merged"] == loss_of(here, swa, rel=1e-5)
    assert downs["none", 0, "momentary"] == loss_of(here, iterates[5])


def test_with_snapshots_at_both_ends_alone_a_linear_decay_is_their_mean(here, tables, downs):
    """One interval has the mean multiplier; of the 5 of a linear decay that is 3/5."""
    old, new = (here.snapshot(0, step).weights for step in (25, 30))
    mean = loss_of(here, {name: 0.4 * old[name] + 0.6 * new[name] for name in old})
    along = tables["merged_snapshots"].query("step == 30").set_index(["decay", "model"])["loss"]
    assert downs["linear", 5, "merged"] == mean
    assert along["linear", "merged"] == mean
    assert along["none", "momentary"] == loss_of(here, new)


def test_what_is_sealed_is_what_the_seal_is_of(here, tables):
    assert list(tables["seals"]["branch"]) == list(BEGINS)
    for _, branch, digest in tables["seals"].itertuples(index=False):
        content = read_bytes(here.folders.progress / f"forecasts_{branch}" / f"forecasts_{branch}.csv")
        own = tables["sealed_forecasts"].query("branch == @branch")
        assert hashlib.sha256(content).hexdigest() == digest
        assert own.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode() == content


def test_a_forecast_is_sealed_before_its_cool_down_runs(open_lab, tables, monkeypatch):
    """A kill as the cool-downs of step 30 begin finds its forecasts on disk; they stay when the unit goes on."""
    unit = open_lab()
    ran, made = forecast._cool_downs, forecast.forecasts_at

    def killed(lab, seed, begin):
        if begin == 30:
            raise KeyboardInterrupt
        return ran(lab, seed, begin)

    monkeypatch.setattr(forecast, "_cool_downs", killed)
    with pytest.raises(KeyboardInterrupt):
        forecast.measure(unit, Run(0))
    kept = {path.name for path in unit.folders.progress.iterdir()}
    assert {"forecasts_30", "cool_downs_25"} <= kept
    assert "cool_downs_30" not in kept
    monkeypatch.setattr(forecast, "_cool_downs", ran)
    monkeypatch.setattr(
        forecast, "forecasts_at", lambda *given: pytest.fail("sealed again") if given[2] <= 30 else made(*given)
    )
    for name, table in forecast.measure(unit, Run(0)).items():
        pd.testing.assert_frame_equal(table, tables[name])


def test_a_cool_down_that_diverges_is_a_row_without_a_score(open_lab, monkeypatch):
    unit = open_lab()
    take_trip = unit.take_trip

    def diverging(start, stream, schedule, *rest):
        if schedule.multipliers[-1] < 0.5:
            raise DivergedError(20, unit.rates[0], 1.0)
        return take_trip(start, stream, schedule, *rest)

    monkeypatch.setattr(unit, "take_trip", diverging)
    table = forecast.measure(unit, Run(0))["cool_downs"].query("branch == 25")
    assert table.groupby("model")["loss"].count().to_dict() == {"cool-down": 0, "merged": 6, "momentary": 1}


def test_the_run_is_looked_at_as_far_back_as_a_drift_goes():
    settings = smoke_config(**{"forecast.windows": [5, 10]})
    assert looks(settings) == {5: [5]} | {step: [5, 10] for step in range(10, 41, 5)}
    narrow = {"burn_in.snapshot_every": 1, "forecast.every": 1, "forecast.windows": [2], "forecast.intervals": [1]}
    late = smoke_config(**narrow, **{"forecast.begins": [30, 35]})
    assert list(looks(late)) == list(range(30 - 2 * WINDOWS, 41))


def test_only_the_widest_window_is_tried_at_other_spacings():
    settings = smoke_config(**{"forecast.windows": [5, 15], "forecast.intervals": [3, 15]})
    assert spacings(settings, 5) == [5]
    assert spacings(settings, 15) == [1, 5]
