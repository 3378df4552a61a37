"""Branching is exact: every way to reach a step ends in the same bits."""

import copy

import pytest
from helpers import (
    STEPPING,
    advanced,
    assert_same_bits,
    burnt_in,
    measured,
    random_lab,
    smoke_config,
)

from sidetrip.config import ConfigError
from sidetrip.engine import training
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import initial_state, saved_steps
from sidetrip.engine.training import DivergedError, advance
from sidetrip.experiments.evaluator import scores


def test_constant_trip_is_the_main_trajectory(lab, snapshots):
    """From every snapshot, in a fresh model, to the end of the run."""
    last = lab.config.burn_in.steps
    for step in saved_steps(snapshots)[:-1]:
        assert_same_bits(advanced(lab, lab.snapshot(0, step), last - step), lab.snapshot(0, last))


def test_replayed_branch_point_is_that_passed_on_the_way(lab, snapshots):
    points = [3, 5, 15, 22, 24, 40, 18]  # one after another between two snapshots, and back
    passed = {}

    def keep(position):
        if position.step in points:
            passed[position.step] = position.state()

    model = lab.model(0)
    advanced(lab, initial_state(model), 40, [keep])
    for point, state in zip(points, lab.replay(0, points), strict=True):
        assert state.step == point
        assert_same_bits(state, passed[point])


def test_observers_and_measurements_leave_the_run_and_the_branch_point_alone(lab, branched, monkeypatch):
    start = lab.snapshot(0, 15)
    points = {step: lab.branch_point(0, step) for step in (20, 30)}
    before = copy.deepcopy([start, *points.values()])
    monkeypatch.setattr(lab, "branch_point", lambda seed, step: points[step])
    advanced(lab, start, 5, [lambda position: list(scores(lab, position.state()))])
    for experiment in STEPPING:
        measured(lab, experiment)
    for state, untouched in zip([start, *points.values()], before, strict=True):
        assert_same_bits(state, untouched)
    assert_same_bits(advanced(lab, start, 15), lab.snapshot(0, 30))


@pytest.mark.parametrize("bad", [4, 9])
def test_divergence_is_told_alike_however_losses_are_read(lab, monkeypatch, bad):
    """Losses read one by one and in blocks: the same step, rate and last loss, and no later state is handed out."""
    told = []
    for block in (1, 3, 100):
        monkeypatch.setattr(training, "losses_read_at_once", lambda device, block=block: block)
        kept, taken = {}, []

        def loss(model, batch, precision, taken=taken):
            taken.append(training.batch_loss(model, batch, precision))
            return taken[-1] * (float("nan") if len(taken) == bad else 1.0)

        def keep(position, kept=kept):
            if position.step % 2 == 0:
                kept[position.step] = position.state()

        model, rates = lab.model(0), [0.01 * (i + 1) for i in range(12)]
        with pytest.raises(DivergedError) as error:
            advance(model, initial_state(model), lab.stream(0), rates, lab.optimizer, [keep], loss)
        assert error.value.step == bad
        assert error.value.rate == rates[bad - 1]
        assert list(kept) == list(range(0, bad, 2))
        told.append(str(error.value))
    assert len(set(told)) == 1


def test_diverging_burn_in_says_where(tmp_path):
    wild = random_lab(tmp_path, smoke_config(**{"burn_in.rate": 99.0}))
    wild.optimizer = SGD(momentum=0.99, weight_decay=0.9)
    said = (
        r"burn_in.rate = 99: seed 0: the loss is not finite at step \d+ \(rate 99, last finite loss [\d.e+]+\); lower"
    )
    with pytest.raises(ConfigError, match=said):
        burnt_in(wild)
