"""Averages and trips against the experiment written out with one trip at a time."""

import pandas as pd
import pytest
from helpers import advanced

from sidetrip.engine import training
from sidetrip.engine.state import distance, with_weights
from sidetrip.experiments import evaluator
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.side_trips import measure as trips
from sidetrip.experiments.side_trips.plan import Case, Look, cases, looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.averaging import RunningAverage

POINT = BranchPoint(0, 20)


@pytest.fixture(scope="module")
def tables(lab, branched):
    return trips.measure(lab, POINT)


def averaged(lab, start, kernel):
    """The average of the iterates after a state, by one run of its own."""
    average = RunningAverage(kernel, start.step)
    advanced(lab, start, kernel.steps, [average])
    return with_weights(start, average.weights())


def test_each_row_against_one_trip_at_a_time(lab, tables):
    start, scores, distances = lab.branch_point(0, 20), tables["side_trips"], tables["distances"]
    for case in cases(lab.config):
        rates = lab.rates[20 : 20 + case.window] * case.kernel.schedule().multipliers
        trip, mean = advanced(lab, start, case.window, rates=rates), averaged(lab, start, case.kernel)
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
            losses = {split: score.loss for split, score in evaluator.scores(lab, state)}
            assert found[["train", "validation"]].to_dict() == pytest.approx(losses, rel=1e-5)


def test_an_average_is_scored_on_batches_as_a_step_sees_them(lab, tables):
    model, stream = lab.model(), lab.stream(0, "reference")
    model.load_state_dict(averaged(lab, lab.branch_point(0, 20), Kernel.swa(10)).weights, strict=False)
    model.train()
    batches = lab.config.evaluation.train_samples // stream.batch_size
    losses = [float(training.batch_loss(model, stream.batch(step)).detach()) for step in range(1, batches + 1)]
    found = tables["side_trips"].query("split == 'batches'").set_index("kernel")
    assert found.loc["swa", "loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert sorted(found.index) == sorted(method.name for method in METHODS)  # the widest average of each
    assert set(zip(found["model"], found["window_steps"], strict=True)) == {("average", 10)}


def test_a_trip_that_diverges_is_rows_that_say_so_however_losses_are_read(lab, branched, monkeypatch):
    """A kernel whose schedule is huge: its trip diverges, the reference and the other trips do not."""
    wild = [Case("swa", Kernel.swa(5)), Case("wild", Kernel([1 - 1e20, 1e20, *[0.0] * 4]))]
    monkeypatch.setattr(trips, "cases", lambda config: wild)
    monkeypatch.setattr(trips, "looks", lambda config, case=None: [Look(5, 0, 5)])
    found = []
    for block in (1, 100):
        monkeypatch.setattr(training, "losses_read_at_once", lambda device, block=block: block)
        found.append(trips.measure(lab, POINT))
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[1][name])
    scores = found[0]["side_trips"]
    lost = scores.query("kernel == 'wild' and model == 'trip'")
    assert lost["diverged"].all()
    assert lost["loss"].isna().all()
    assert sorted(lost["split"]) == ["train", "validation"]
    assert not scores.query("kernel == 'swa' or kernel == 'none'")["diverged"].any()
    assert list(found[0]["distances"]["kernel"]) == ["swa"]


def test_controls_are_held_against_the_true_trip(tables):
    scores, apart = tables["side_trips"], tables["distances"].set_index("kernel")
    for control in ("ema_reversed", "ema_shuffled"):
        assert list(scores[scores["kernel"] == control]["model"].unique()) == ["average"]
        assert apart.loc[control, "trip_to_start"] == apart.loc["ema", "trip_to_start"]
        assert apart.loc[control, "average_to_trip"] > 2 * apart.loc["ema", "average_to_trip"]
