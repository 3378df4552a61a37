"""Averages and trips against the experiment written out with one trip at a time."""

import pandas as pd
import pytest
from helpers import advanced

from sidetrip.engine import training
from sidetrip.engine.state import distance, load_state, state_path, with_weights
from sidetrip.experiments import side_trips as trips
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.side_trips.plan import Case, Look, cases, looks
from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.averaging import RunningAverage


def averaged(lab, start, kernel):
    """The average of the iterates after a state, by one run of its own."""
    average = RunningAverage(kernel, start.step)
    advanced(lab, start, kernel.steps, [average])
    return with_weights(start, average.weights())


def test_side_trip_tables(lab, snapshots):
    """Each row against the experiment written out with one trip at a time."""
    start = load_state(state_path(snapshots, 15))
    tables = trips.measure(lab, start, 0)
    scores, distances = tables["side_trips"], tables["distances"]
    for case in cases(lab.config):
        rates = lab.rates[15 : 15 + case.window] * case.kernel.schedule().multipliers
        trip = advanced(lab, start, case.window, rates=rates)
        mean = averaged(lab, start, case.kernel)
        row = distances.query("kernel == @case.name and window_steps == @case.window").iloc[0]
        assert row["average_to_trip"] == pytest.approx(distance(mean, trip), rel=1e-6)
        assert row["trip_to_start"] == pytest.approx(distance(trip, start), rel=1e-6)
        expected = []
        for look in looks(lab.config, case):
            under_way = Schedule(case.kernel.schedule().multipliers[: look.step]).kernel()
            expected.append((case.name, "average", look.number, averaged(lab, start, under_way)))
            expected.append(("none", "momentary", look.number, advanced(lab, start, look.step)))
            expected.append((case.name, "trip", look.number, advanced(lab, start, look.step, rates=rates[: look.step])))
        for *key, number, state in expected:
            here = scores[(scores["window_steps"] == case.window) & (scores["look"] == number)]
            found = here.set_index(["kernel", "model", "split"]).loc[tuple(key), "loss"]
            losses = {split: value.loss for split, value in evaluator(lab)(state)}
            assert found[["train", "validation"]].to_dict() == pytest.approx(losses, rel=1e-5)


def test_an_average_is_scored_on_batches_as_a_step_sees_them(lab, snapshots):
    start = load_state(state_path(snapshots, 15))
    scores = trips.measure(lab, start, 0)["side_trips"]
    model, stream = lab.model(), lab.stream(0, "reference")
    model.load_state_dict(averaged(lab, start, Kernel.swa(10)).weights, strict=False)
    model.train()
    batches = lab.config.evaluation.train_samples // stream.batch_size
    losses = [float(training.batch_loss(model, stream.batch(step)).detach()) for step in range(1, batches + 1)]
    found = scores.query("split == 'batches'").set_index("kernel")
    assert found.loc["swa", "loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert sorted(found.index) == sorted(method.name for method in METHODS)  # the widest average of each
    assert set(found["model"]) == {"average"}
    assert set(found["window_steps"]) == {10}


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
