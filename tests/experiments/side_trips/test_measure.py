"""What is compared, and averages and trips against the experiment written out with one trip at a time."""

import numpy as np
import pandas as pd
import pytest
from helpers import advanced, smoke_config

from sidetrip.engine import training
from sidetrip.engine.state import distance, with_weights
from sidetrip.experiments import evaluator
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.side_trips import measure as trips
from sidetrip.experiments.side_trips import plan
from sidetrip.experiments.side_trips.plan import Case, Look, cases, controls, last_half, looks, shared_trips, widest
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage

POINT = BranchPoint(0, 20)


@pytest.fixture(scope="module")
def tables(lab, branched):
    return trips.measure(lab, POINT)


def test_each_row_against_one_trip_at_a_time(lab, tables):
    """An average and its trip where the kernel ends and nowhere else; the run at every look."""
    start, scores, distances = lab.branch_point(0, 20), tables["side_trips"], tables["distances"]
    found = scores.set_index(["model", "kernel", "window_steps", "look", "split"])["loss"]
    assert found.index.is_unique
    alone = {("momentary", "none", look.window, look.number): look.step for look in looks(lab.config)}
    expected = {key: advanced(lab, start, step) for key, step in alone.items()}
    for case in cases(lab.config):
        rates = lab.rates[20 : 20 + case.window] * case.kernel.schedule().multipliers
        average, half = RunningAverage(case.kernel, 20), RunningAverage(last_half(case.window), 20)
        trip = advanced(lab, start, case.window, [half], rates)
        advanced(lab, start, case.window, [average])
        mean = with_weights(start, average.weights())
        row = distances.query("kernel == @case.name and window_steps == @case.window").iloc[0]
        assert row["average_to_trip"] == pytest.approx(distance(mean, trip), rel=1e-6)
        assert row["trip_to_start"] == pytest.approx(distance(trip, start), rel=1e-6)
        expected |= {("average", *case.key, 0): mean, ("trip", *case.key, 0): trip}
        if case.window == 10 and case.name != "two_point":  # its rate does not fall
            expected["trip_average", *case.key, 0] = with_weights(start, half.weights())
    for key, state in expected.items():
        losses = {split: score.loss for split, score in evaluator.scores(lab, state)}
        assert found.loc[key].to_dict() == pytest.approx(losses, rel=1e-5), key
    others = found.index.droplevel("split").drop_duplicates().difference(list(expected)).tolist()
    assert others == sorted(("average", *wrong.key, 0) for wrong, _ in controls(lab.config))
    assert ("average", "ema_reversed", 10, 0) in others


def test_a_trip_that_diverges_is_rows_that_say_so_however_losses_are_read(lab, branched, monkeypatch):
    """A kernel whose schedule is huge: its trip diverges, the reference and the other trips do not."""
    wild = [Case("swa", Kernel.swa(5)), Case("wild", Kernel([1 - 1e15, *[0.0] * 3, 5e14, 5e14]))]
    assert wild[1].decays
    monkeypatch.setattr(plan, "cases", lambda config: wild)
    monkeypatch.setattr(plan, "controls", lambda config: [])
    monkeypatch.setattr(plan, "looks", lambda config: [Look(5, 0, 5)])
    found = []
    for block in (1, 100):
        monkeypatch.setattr(training, "losses_read_at_once", lambda device, block=block: block)
        found.append(trips.measure(lab, POINT))
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name])
    scores = found[0]["side_trips"]
    lost = scores.query("kernel == 'wild' and model in ['trip', 'trip_average']")
    assert lost["diverged"].all()
    assert lost["loss"].isna().all()
    assert sorted(lost["split"]) == ["train", "train", "validation", "validation"]
    assert not scores.query("kernel == 'swa' or kernel == 'none'")["diverged"].any()
    assert list(found[0]["distances"]["kernel"]) == ["swa"]


def test_controls_are_held_against_the_true_trip(tables):
    scores, apart = tables["side_trips"], tables["distances"].set_index("kernel")
    for control in ("ema_reversed", "ema_shuffled"):
        assert list(scores[scores["kernel"] == control]["model"].unique()) == ["average"]
        assert apart.loc[control, "trip_to_start"] == apart.loc["ema", "trip_to_start"]
        assert apart.loc[control, "average_to_trip"] > 2 * apart.loc["ema", "average_to_trip"]


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
