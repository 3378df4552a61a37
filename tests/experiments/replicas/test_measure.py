"""Replicas against runs and means written out."""

import pytest
import torch

from sidetrip.engine.state import with_weights
from sidetrip.engine.training import advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.mean_gradient.measure import measure as mean_gradient
from sidetrip.experiments.replicas.measure import measure
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.averaging import RunningAverage

STEPS = 10  # of the widest window


def written_out(lab, replica: int) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """Weights of a replica, by kernel and model: SWA's average and trip, and the run where they end."""
    start, stream = lab.branch_point(0, 30), lab.stream(0, f"replicas/30/{replica}")
    rates, average = lab.rates[30 : 30 + STEPS], RunningAverage(Kernel.swa(STEPS), 30)
    run = advance(lab.model(), start, stream, list(rates), lab.optimizer, [average])
    falling = list(rates * Schedule.linear(STEPS).multipliers)
    trip = advance(lab.model(), start, stream, falling, lab.optimizer)
    far = advance(lab.model(), start, stream, list(rates[: round(sum(falling) / rates[0])]), lab.optimizer)
    of_run = {("none", "momentary"): run.weights, ("swa", "as_far"): far.weights}
    return {**of_run, ("swa", "average"): average.weights(), ("swa", "trip"): trip.weights}


def test_each_replica_and_the_mean_of_all_are_scored(lab, branched):
    tables, start = measure(lab, BranchPoint(0, 30)), lab.branch_point(0, 30)
    alone = tables["replicas"].set_index(["kernel", "model", "replica", "split"])["loss"]
    together = tables["replica_means"].set_index(["kernel", "model", "split"])["loss"]
    replicas = [written_out(lab, number) for number in range(lab.config.replicas.number)]
    for key in replicas[0]:
        each = [replica[key] for replica in replicas]
        assert not torch.equal(*(next(iter(weights.values())) for weights in each))  # batches of its own
        mean = {name: (each[0][name] + each[1][name]) / 2 for name in each[0]}
        for number, weights in enumerate(each):
            for split, score in evaluator.scores(lab, with_weights(start, weights)):
                assert alone[(*key, number, split)] == score.loss
        for split, score in evaluator.scores(lab, with_weights(start, mean)):
            assert together[(*key, split)] == pytest.approx(score.loss, rel=1e-5)


def one_step_too_far(steps):
    """The losses of the steps are finite, that of the end is not."""
    return Schedule([1.0] * (steps - 1) + [1e38])


def wild(steps):
    return Schedule(1e12 * Schedule.linear(steps).multipliers)


@pytest.mark.parametrize(
    ("measured", "schedule"), [(measure, one_step_too_far), (measure, wild), (mean_gradient, wild)]
)
def test_of_a_trip_that_diverges_neither_it_nor_a_mean_is_there(lab, branched, monkeypatch, measured, schedule):
    monkeypatch.setattr(Kernel, "schedule", lambda kernel: schedule(kernel.steps))
    for table in measured(lab, BranchPoint(0, 30)).values():
        assert "trip" not in set(table["model"])
        assert {"momentary", "average"} <= set(table["model"])
