"""Averages and trips against the experiment written out with one trip at a time."""

import pandas as pd
import pytest
from helpers import advanced, smoke_config

from sidetrip.engine import training
from sidetrip.engine.state import distance, load_state, state_path, with_weights
from sidetrip.experiments import running_averages
from sidetrip.experiments import side_trips as trips
from sidetrip.experiments.cases import Case, Look, Window, cases, longest, looks, shared_trips, widest, windows
from sidetrip.experiments.evaluator import evaluator
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage


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
    assert [case.window for case in widest(cases(config))] == [10, 10, 10]
    assert looks(config, wide) == [Look(10, 0, 10), Look(10, 1, 9), Look(10, 2, 8)]
    assert looks(config, narrow) == [Look(5, 0, 5)]
    assert [look.step for look in looks(config)] == [0, 1, 5, 10, 9, 8]


def test_side_trip_tables(lab, snapshots):
    """Each row against the experiment written out with one trip at a time."""
    start = load_state(state_path(snapshots, 15))
    tables = trips.measure(lab, start, 0)
    scores, distances = tables["side_trips"], tables["distances"]
    for case in cases(lab.config):
        average = RunningAverage(case.kernel, 15)
        advanced(lab, start, case.window, [average])
        rates = lab.rates[15 : 15 + case.window] * case.kernel.schedule().multipliers
        trip = advanced(lab, start, case.window, rates=rates)
        mean = with_weights(start, average.weights())
        row = distances.query("kernel == @case.name and window_steps == @case.window").iloc[0]
        assert row["average_to_trip"] == pytest.approx(distance(mean, trip), rel=1e-6)
        assert row["trip_to_start"] == pytest.approx(distance(trip, start), rel=1e-6)
        expected = [(case.name, "average", 0, mean)]
        for look in looks(lab.config, case):
            expected.append(("none", "momentary", look.number, advanced(lab, start, look.step)))
            expected.append((case.name, "trip", look.number, advanced(lab, start, look.step, rates=rates[: look.step])))
        for *key, number, state in expected:
            here = scores[(scores["window_steps"] == case.window) & (scores["look"] == number)]
            found = here.set_index(["kernel", "model", "split"]).loc[tuple(key), "loss"]
            losses = {split: value.loss for split, value in evaluator(lab)(state.weights)}
            assert found[["train", "validation"]].to_dict() == pytest.approx(losses, rel=1e-5)


def test_an_average_is_scored_on_batches_as_a_step_sees_them(lab, snapshots):
    start = load_state(state_path(snapshots, 15))
    scores = trips.measure(lab, start, 0)["side_trips"]
    average = RunningAverage(Kernel.swa(5), 15)
    advanced(lab, start, 5, [average])
    model, weights, stream = lab.model(), average.weights(), lab.stream(0, "reference")
    model.load_state_dict(weights, strict=False)
    model.train()
    batches = lab.config.evaluation.train_samples // stream.batch_size
    losses = [float(training.batch_loss(model, stream.batch(step)).detach()) for step in range(1, batches + 1)]
    row = scores.query("kernel == 'swa' and window_steps == 5 and split == 'batches'").iloc[0]
    assert row["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert set(scores.query("split == 'batches'")["model"]) == {"average"}


def test_running_averages_are_those_of_the_side_trips(lab, snapshots):
    """Averaged with trips or without, what lies on the main trajectory is the same."""
    (start,) = lab.replay(0, [20])
    scores = trips.measure(lab, start, 0)["side_trips"]
    along = running_averages.measure(lab, Window(0, 20))["running_averages"]
    averages = scores.query(
        "model == 'average' and split != 'batches' and window_steps == 10 and kernel in ['swa', 'ema']"
    )
    found = along.query("kernel in ['swa', 'ema']").set_index(["kernel", "split"])["loss"].sort_index()
    assert found.to_dict() == averages.set_index(["kernel", "split"])["loss"].sort_index().to_dict()
    assert set(along["step"]) == {20, 21, 25, 28, 29, 30}
    momentary = scores.query("model == 'momentary' and window_steps == 10 and look == 2 and split == 'train'")
    here = along.query("kernel == 'none' and step == 28 and split == 'train'")
    assert here["loss"].tolist() == momentary["loss"].tolist()


@pytest.mark.parametrize("every", [1, 3, 10, 25, 30, 40])
def test_running_averages_begin_every_so_often_and_end_within_the_run(every):
    config = smoke_config(**{"side_trips.every": every})
    starts = [window.start for window in windows(config)]
    assert starts == list(range(0, 31, every))
    assert starts[-1] + longest(config) <= config.burn_in.steps
    assert {window.seed for window in windows(config)} == {config.seeds[0]}


def _wild(monkeypatch) -> None:
    """A kernel whose schedule is huge: its trip diverges, the reference and the other trips do not."""
    wild = [Case("swa", Kernel.swa(5)), Case("wild", Kernel([1 - 1e20, 1e20, *[0.0] * 4]))]
    monkeypatch.setattr(trips, "cases", lambda config: wild)
    monkeypatch.setattr(trips, "looks", lambda config, case=None: [Look(5, 0, 5)])


def test_diverging_trip_is_a_row_that_says_so(lab, snapshots, monkeypatch):
    _wild(monkeypatch)
    tables = trips.measure(lab, load_state(state_path(snapshots, 15)), 0)
    scores = tables["side_trips"]
    lost = scores.query("kernel == 'wild' and model == 'trip'")
    assert lost["diverged"].all()
    assert lost["loss"].isna().all()
    assert sorted(lost["split"]) == ["train", "validation"]
    assert not scores.query("kernel == 'swa' or kernel == 'none'")["diverged"].any()
    assert list(tables["distances"]["kernel"]) == ["swa"]


def test_a_diverging_trip_is_the_same_row_however_losses_are_read(lab, snapshots, monkeypatch):
    _wild(monkeypatch)
    start, found = load_state(state_path(snapshots, 15)), []
    for block in (1, 100):
        monkeypatch.setattr(training, "losses_read_at_once", lambda device, block=block: block)
        found.append(trips.measure(lab, start, 0))
    for name in found[0]:
        pd.testing.assert_frame_equal(found[0][name], found[1][name])


def test_controls_are_held_against_the_true_trip(lab, snapshots):
    tables = trips.measure(lab, load_state(state_path(snapshots, 15)), 0)
    scores, apart = tables["side_trips"], tables["distances"].set_index("kernel")
    for control in ("ema_reversed", "ema_shuffled"):
        assert list(scores[scores["kernel"] == control]["model"].unique()) == ["average"]
        assert apart.loc[control, "trip_to_start"] == apart.loc["ema", "trip_to_start"]
        assert apart.loc[control, "average_to_trip"] > 2 * apart.loc["ema", "average_to_trip"]
