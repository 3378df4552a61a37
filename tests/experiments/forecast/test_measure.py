"""Merged snapshots and cool-downs against the same written out one model at a time."""

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
from sidetrip.experiments.forecast.plan import Along, CoolDown, merged_at, spacings, sparse_averages, units
from sidetrip.kernels import DECAYS, Kernel


def loss_of(lab, weights) -> float:
    return dict(evaluator.scores(lab, with_weights(lab.snapshot(0, 15), weights)))["validation"].loss


@pytest.fixture(scope="module")
def downs(lab, snapshots):
    return forecast.measure(lab, CoolDown(0, 15))["cool_downs"].set_index(["decay", "spacing_steps", "model"])["loss"]


@pytest.fixture(scope="module")
def along(lab, snapshots):
    return forecast.measure(lab, Along(0, 15))["merged_snapshots"].set_index(["step", "decay", "model"])["loss"]


@pytest.mark.parametrize("decay", DECAYS)
def test_a_cool_down_is_the_trip_with_the_decay(lab, downs, decay):
    rates = lab.rates[15:30] * DECAYS[decay](15).multipliers
    trip = advanced(lab, lab.snapshot(0, 15), 15, rates=rates)
    assert downs[decay, 0, "cool-down"] == loss_of(lab, trip.weights)


def test_merged_iterates_at_every_step_are_the_average_of_the_decay(lab, downs):
    iterates = [advanced(lab, lab.snapshot(0, 15), n).weights for n in range(16)]
    swa = {name: torch.stack([each[name] for each in iterates[1:]]).double().mean(0).float() for name in iterates[0]}
    assert downs["linear", 1, "merged"] == pytest.approx(loss_of(lab, swa), rel=1e-5)
    assert downs["none", 0, "momentary"] == loss_of(lab, iterates[15])


def test_with_snapshots_at_both_ends_alone_a_linear_decay_is_their_mean(lab, downs, along):
    """One interval has the mean multiplier; of the 15 of a linear decay that is 8/15."""
    old, new = (lab.snapshot(0, step).weights for step in (15, 30))
    mean = loss_of(lab, {name: (7 / 15) * old[name] + (8 / 15) * new[name] for name in old})
    assert downs["linear", 15, "merged"] == pytest.approx(mean, rel=1e-5)
    assert along[30, "linear", "merged"] == pytest.approx(mean, rel=1e-5)
    assert along[30, "none", "momentary"] == loss_of(lab, new)


def test_along_the_run_there_is_every_snapshot_of_the_second_half(lab, along):
    assert set(along.index.get_level_values("step")) == {30}
    merged = merged_at(smoke_config(**{"burn_in.snapshot_every": 5}), lab.rates, 15)
    assert [end for end, decay, _ in merged if decay == "linear"] == [20, 25, 30, 35, 40]


def test_a_cool_down_that_diverges_is_a_row_without_a_score(lab, snapshots, monkeypatch):
    advance = forecast.advance

    def diverging(model, state, stream, rates, *rest):
        if rates[-1] < 0.5 * rates[0]:
            raise DivergedError(20, rates[-1], 1.0)
        return advance(model, state, stream, rates, *rest)

    monkeypatch.setattr(forecast, "advance", diverging)
    table = forecast.measure(lab, CoolDown(0, 15))["cool_downs"]
    assert table.groupby("model")["loss"].count().to_dict() == {"cool-down": 0, "merged": 9, "momentary": 1}


def test_every_snapshot_is_scored_once_as_it_is_and_once_for_every_decay(lab, snapshots):
    here = Lab(replace(lab.config, forecast=replace(lab.config.forecast, windows=(15, 30))), lab.runs, lab.device)
    along = [unit for unit in units(here.config) if isinstance(unit, Along)]
    table = pd.concat(forecast.measure(here, unit)["merged_snapshots"] for unit in along)
    expected = [("none", 0), *((decay, window) for decay in DECAYS for window in (15, 30))]
    found = table[["step", "decay", "window_steps"]].itertuples(index=False, name=None)
    assert sorted(found) == sorted((30, *each) for each in expected)  # the one snapshot of the second half


def test_only_the_widest_window_is_tried_at_other_spacings():
    settings = smoke_config(**{"burn_in.snapshot_every": 5, "forecast.windows": [5, 15]})
    assert spacings(settings, 5) == [5]
    assert spacings(settings, 15) == [1, 5, 15]


def test_an_average_of_all_iterates_is_the_kernel_of_its_decay(lab):
    (linear, *_) = [each for each in sparse_averages(lab.config, lab.rates, 15, 15) if each.spacing == 1]
    assert linear.kernel.weights == pytest.approx(Kernel.swa(15).weights)
