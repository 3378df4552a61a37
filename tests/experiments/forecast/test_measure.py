"""Merged snapshots and cool-downs against the same written out one model at a time."""

import pandas as pd
import pytest
import torch
from helpers import advanced, smoke_config
from sidetrip.experiments.decays import DECAYS

from sidetrip.engine.state import load_state, state_path, with_weights
from sidetrip.engine.training import DivergedError
from sidetrip.experiments import forecast
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.forecast.plan import Along, CoolDown, forecast_cost, merged_at, scored_of, spacings, units
from sidetrip.kernels import Kernel


def loss_of(lab, snapshots, weights) -> float:
    state = with_weights(load_state(state_path(snapshots, 15)), weights)
    return dict(evaluator(lab)(state))["validation"].loss


@pytest.fixture(scope="module")
def downs(lab, snapshots):
    return forecast.measure(lab, CoolDown(0, 15))["cool_downs"].set_index(["decay", "spacing_steps", "model"])["loss"]


@pytest.fixture(scope="module")
def along(lab, snapshots):
    return forecast.measure(lab, Along(0, 15))["merged_snapshots"].set_index(["step", "decay", "model"])["loss"]


@pytest.mark.parametrize("decay", DECAYS, ids=lambda decay: decay.name)
def test_a_cool_down_is_the_trip_with_the_decay(lab, snapshots, downs, decay):
    start = load_state(state_path(snapshots, 15))
    trip = advanced(lab, start, 15, rates=lab.rates[15:30] * decay.schedule(15).multipliers)
    assert downs[decay.name, 0, "cool-down"] == loss_of(lab, snapshots, trip.weights)


def test_merged_iterates_at_every_step_are_the_average_of_the_decay(lab, snapshots, downs):
    start = load_state(state_path(snapshots, 15))
    iterates = [advanced(lab, start, n).weights for n in range(16)]
    swa = {
        name: torch.stack([weights[name] for weights in iterates[1:]]).double().mean(0).float()
        for name in start.weights
    }
    assert downs["linear", 1, "merged"] == pytest.approx(loss_of(lab, snapshots, swa), rel=1e-5)
    assert downs["none", 0, "momentary"] == loss_of(lab, snapshots, iterates[15])


def test_with_snapshots_at_both_ends_alone_a_linear_decay_is_their_mean(lab, snapshots, downs, along):
    """One interval has the mean multiplier; of the 15 of a linear decay that is 8/15."""
    old, new = (load_state(state_path(snapshots, step)).weights for step in (15, 30))
    mean = {name: (7 / 15) * old[name] + (8 / 15) * new[name] for name in old}
    assert downs["linear", 15, "merged"] == pytest.approx(loss_of(lab, snapshots, mean), rel=1e-5)
    assert along[30, "linear", "merged"] == pytest.approx(loss_of(lab, snapshots, mean), rel=1e-5)
    assert along[30, "none", "momentary"] == loss_of(lab, snapshots, new)


def test_along_the_run_there_is_every_snapshot_of_the_second_half(lab, along):
    assert set(along.index.get_level_values("step")) == {30}
    merged = merged_at(smoke_config(**{"burn_in.snapshot_every": 5}), lab.rates, 15)
    assert [end for end, decay, _ in merged if decay is DECAYS[0]] == [20, 25, 30, 35, 40]


def test_a_cool_down_that_diverges_is_a_row_without_a_score(lab, snapshots, monkeypatch):
    advance = forecast.advance

    def diverging(model, state, stream, rates, *rest):
        if rates[-1] < 0.5 * rates[0]:
            raise DivergedError(20, rates[-1], 1.0)
        return advance(model, state, stream, rates, *rest)

    monkeypatch.setattr(forecast, "advance", diverging)
    table = forecast.measure(lab, CoolDown(0, 15))["cool_downs"]
    assert table.groupby("model")["loss"].count().to_dict() == {"cool-down": 0, "merged": 9, "momentary": 1}


def test_what_is_planned_is_what_is_done(lab, snapshots, monkeypatch):
    done: list[float] = []
    monkeypatch.setattr(lab, "report", done.append)
    for unit in (Along(0, 15), CoolDown(0, 15)):
        done.clear()
        forecast.measure(lab, unit)
        assert sum(done) == pytest.approx(forecast_cost(lab.config, unit))
    assert len(units(lab.config)) == 1 + len(lab.config.seeds) * len(lab.config.forecast.begins)
    assert scored_of(lab.config, CoolDown(0, 15)) == 1 + 3 * (1 + 3)


def test_every_snapshot_is_scored_once_as_it_is_and_once_for_every_decay(lab, snapshots, monkeypatch):
    monkeypatch.setattr(lab.config.forecast, "windows", [15, 30])
    along = [unit for unit in units(lab.config) if isinstance(unit, Along)]
    table = pd.concat(forecast.measure(lab, unit)["merged_snapshots"] for unit in along)
    decays = [("none", 0), *((decay.name, window) for decay in DECAYS for window in (15, 30))]
    expected = sorted((30, *decay) for decay in decays)  # the one snapshot of the second half
    assert sorted(table[["step", "decay", "window_steps"]].itertuples(index=False, name=None)) == expected
    assert sum(scored_of(lab.config, unit) for unit in along) == len(expected)


def test_only_the_widest_window_is_tried_at_other_spacings():
    settings = smoke_config(**{"burn_in.snapshot_every": 5, "forecast.windows": [5, 15]})
    assert spacings(settings, 5) == [5]
    assert spacings(settings, 15) == [1, 5, 15]


def test_a_coarse_average_is_a_kernel_of_its_own(lab):
    (linear, *_) = [a for a in forecast.sparse_averages(lab.config, lab.rates, 15, 15) if a.spacing == 1]
    assert linear.kernel.weights == pytest.approx(Kernel.swa(15).weights)
