"""Branching is exact: every way to reach a step ends in the same bits."""

import copy
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from helpers import burnt_in, random_lab, smoke_config
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sidetrip import training
from sidetrip.measure.averaging import RunningAverage
from sidetrip.experiments import side_trips as trips
from sidetrip.experiments import single_step as steps
from sidetrip.experiments.cases import longest, starts_between
from sidetrip.experiments.main_trajectory import replay
from sidetrip.files import sealing
from sidetrip.kernels import Kernel
from sidetrip.engine.state import (
    TrainState,
    distance,
    initial_state,
    lerp,
    load_state,
    restore,
    save_state,
    saved_steps,
    state_path,
    with_weights,
)
from sidetrip.engine.training import DivergedError, Optimizer, advance

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def assert_same_bits(a: TrainState, b: TrainState) -> None:
    assert a.step == b.step
    for group in ("weights", "buffers", "momentum"):
        x, y = getattr(a, group), getattr(b, group)
        assert x.keys() == y.keys()
        for name in x:
            assert torch.equal(x[name], y[name]), f"{group}/{name}"


def run(lab, start, steps_taken, observers=(), rates=None, seed=0):
    rates = lab.rates[start.step : start.step + steps_taken] if rates is None else rates
    return advance(lab.model(), start, lab.stream(seed), list(rates), lab.optimizer, observers)


def test_constant_trip_is_the_main_trajectory(lab, snapshots):
    """From every snapshot, in a fresh model, to the end of the run."""
    end = load_state(state_path(snapshots, lab.config.burn_in.steps))
    for step in saved_steps(snapshots)[:-1]:
        start = load_state(state_path(snapshots, step))
        assert_same_bits(run(lab, start, lab.config.burn_in.steps - step), end)


def test_replayed_branch_point_is_that_passed_on_the_way(lab, snapshots):
    points = [3, 15, 22, 40]
    passed = {}

    def keep(position):
        if position.step in points:
            passed[position.step] = position.state()

    model = lab.model(0)
    run(lab, initial_state(model), 40, [keep])
    for state in replay(lab, 0, snapshots, points):
        assert_same_bits(state, passed[state.step])


def test_observers_and_measurements_leave_the_run_alone(lab, snapshots):
    start = load_state(state_path(snapshots, 15))
    before = copy.deepcopy(start)
    scores = []
    run(lab, start, 5, [lambda p: scores.extend(lab.evaluate(p.weights))])
    steps.single_step(lab, start, 0)
    trips.side_trips(lab, start, 0)
    assert_same_bits(start, before)
    assert_same_bits(run(lab, start, 15), load_state(state_path(snapshots, 30)))


def test_state_survives_the_disk(lab, snapshots, tmp_path):
    state = run(lab, load_state(state_path(snapshots, 15)), 3)
    with sealing(tmp_path / "a") as folder:
        save_state(state, folder / "state.safetensors")
    found = load_state(tmp_path / "a" / "state.safetensors")
    assert_same_bits(state, found)
    save_state(found, tmp_path / "again.safetensors")
    assert (tmp_path / "a" / "state.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_advance_is_plain_sgd(lab):
    """Against torch.optim.SGD on a model of its own, written out."""
    model = lab.model(0)
    reference = copy.deepcopy(model).train()
    sgd = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    stream = lab.stream(0)
    for step in range(1, 7):
        x, y = stream.batch(step)
        sgd.zero_grad()
        nn.functional.cross_entropy(reference(x), y).backward()
        sgd.step()
    end = run(lab, initial_state(model), 6)
    for name, weight in reference.named_parameters():
        assert torch.equal(weight, end.weights[name])


STEPS_IN_A_WORKER = """
import sys
from pathlib import Path
from helpers import random_lab, smoke_config
from sidetrip.runtime.executor import prepare_worker
from sidetrip.engine.state import initial_state
from sidetrip.engine.training import advance

prepare_worker("cpu", "fp32")
lab = random_lab(Path(sys.argv[1]), smoke_config())
model = lab.model()
state = advance(model, initial_state(model), lab.stream(0), [0.1, 0.1], lab.optimizer)
list(lab.evaluate(state.weights))
print("torch._dynamo" in sys.modules)
"""


def test_a_worker_does_without_torch_s_compiler(tmp_path):
    """To import it takes longer than a small unit."""
    command = [sys.executable, "-c", STEPS_IN_A_WORKER, str(tmp_path)]
    paths = {**os.environ, "PYTHONPATH": "src:tests"}
    assert subprocess.run(command, env=paths, capture_output=True, text=True, check=True).stdout == "False\n"


def test_swa_equals_averaged_model(lab, snapshots):
    start, k = load_state(state_path(snapshots, 15)), 9
    ours, theirs, live = RunningAverage(Kernel.swa(k), 15), None, lab.model()

    def feed(position):
        nonlocal theirs
        restore(with_weights(start, position.weights), live)
        if position.step == 16:
            theirs = AveragedModel(live)
        if position.step >= 16:
            theirs.update_parameters(live)

    run(lab, start, k, [ours, feed])
    average = ours.weights()
    for name, weight in theirs.module.named_parameters():
        torch.testing.assert_close(average[name], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("newest", [0.3, 1e-5])
def test_ema_equals_averaged_model_fed_the_branch_point_first(lab, snapshots, newest):
    start, k = load_state(state_path(snapshots, 15)), 12
    ours, live = RunningAverage(Kernel.ema(k, newest=newest), 15), lab.model()
    restore(start, live)
    theirs = AveragedModel(live, multi_avg_fn=get_ema_multi_avg_fn(1 - newest))

    def feed(position):
        restore(with_weights(start, position.weights), live)
        theirs.update_parameters(live)

    run(lab, start, k, [ours, feed])
    average = ours.weights()
    for name, weight in theirs.module.named_parameters():
        torch.testing.assert_close(average[name], weight, rtol=1e-5, atol=1e-6)


def test_average_of_half_precision_weights_still_moves():
    kernel = Kernel.ema(3, newest=1e-5)
    average = RunningAverage(kernel, 0)
    for step, value in enumerate((1.0, 2.0, 2.0, 2.0)):
        average(_position(step, torch.full((1,), value, dtype=torch.bfloat16)))
    weight = average.weights()["w"]
    assert weight.dtype == torch.float32
    assert float(weight) == pytest.approx(1 + 3e-5, abs=1e-7)


def test_average_refuses_half_a_window():
    average = RunningAverage(Kernel.swa(4), 0)
    average(_position(0, torch.zeros(1)))
    with pytest.raises(RuntimeError, match=r"has seen 1 of 5 iterates; advance"):
        average.weights()


def _position(step, weight):
    from sidetrip.engine.training import Position

    return Position(step, {"w": weight}, None, lambda: None)


def test_lerp_and_distance_by_hand():
    zero = torch.zeros(2)
    a = TrainState(1, {"w": torch.tensor([0.0, 1.0])}, {}, {"w": zero})
    b = TrainState(2, {"w": torch.tensor([3.0, 5.0])}, {}, {"w": zero})
    assert distance(a, b) == 5.0
    assert lerp(a, b, 0.25).weights["w"].tolist() == [0.75, 2.0]
    assert torch.equal(lerp(a, b, 1.0).weights["w"], b.weights["w"])


def test_state_of_another_architecture_is_refused(lab):
    with pytest.raises(ValueError, match="another architecture"):
        restore(initial_state(nn.Linear(2, 2)), lab.model())


def test_trips_share_a_run_where_one_schedule_begins_another():
    cases = [trips.Case("two_point", Kernel.two_point(k)) for k in (1, 4, 9)]
    cases += [trips.Case("swa", Kernel.swa(k)) for k in (4, 9)]
    shared = trips.shared_trips(cases)
    assert sorted((s.steps, sorted(c.window for c in riders)) for s, riders in shared) == [
        (4, [4]),
        (9, [1, 4, 9]),
        (9, [9]),
    ]


def test_side_trip_tables(lab, snapshots):
    """Each row against the experiment written out with one trip at a time."""
    start = load_state(state_path(snapshots, 15))
    scores, distances = trips.side_trips(lab, start, 0)
    for case in trips.cases(lab.config):
        average = RunningAverage(case.kernel, 15)
        end = run(lab, start, case.window, [average])
        rates = lab.rates[15 : 15 + case.window] * case.kernel.schedule().multipliers
        trip = run(lab, start, case.window, rates=rates)
        mean = with_weights(start, average.weights())
        row = distances.query("kernel == @case.name and window_steps == @case.window").iloc[0]
        assert row["average_to_trip"] == pytest.approx(distance(mean, trip), rel=1e-6)
        assert row["trip_to_start"] == pytest.approx(distance(trip, start), rel=1e-6)
        for kernel, model, state in (
            ("none", "momentary", end),
            (case.name, "average", mean),
            (case.name, "trip", trip),
        ):
            found = scores.query(f"kernel == '{kernel}' and window_steps == {case.window} and model == '{model}'")
            expected = {split: value.loss for split, value in lab.evaluate(state.weights)}
            assert found.set_index("split")["loss"].to_dict() == pytest.approx(expected, rel=1e-5)


def test_running_averages_are_those_of_the_side_trips(lab, snapshots):
    """Averaged with trips or without, what lies on the main trajectory is the same."""
    (start,) = replay(lab, 0, snapshots, [20])
    scores, _ = trips.side_trips(lab, start, 0)
    alone = trips.averages_alone(lab, start, 0)
    keys = ["kernel", "step", "split"]
    tables = [trips.along_main(table, lab.config).sort_values(keys, ignore_index=True) for table in (scores, alone)]
    pd.testing.assert_frame_equal(*tables)
    ends = tables[0].drop_duplicates(["kernel", "step"])
    found = list(zip(ends["kernel"], ends["step"], ends["window_steps"], strict=True))
    assert found == [("ema", 30, 10), ("none", 20, 0), ("none", 30, 10), ("swa", 30, 10), ("two_point", 30, 10)]


@pytest.mark.parametrize("every", [1, 3, 10, 25, 30, 40])
def test_running_averages_begin_every_so_often_and_end_within_the_run(every):
    config = smoke_config(**{"side_trips.every": every})
    starts = sorted({*starts_between(config), *config.branch.points})
    assert set(range(0, 31, every)) <= set(starts)
    assert max(starts) + longest(config) <= config.burn_in.steps
    assert not set(starts_between(config)) & set(config.branch.points)


def test_diverging_trip_is_a_row_that_says_so(lab, snapshots, monkeypatch):
    """A kernel whose schedule is huge: the trip diverges, the reference and the other trips do not."""
    wild = trips.Case("wild", Kernel([1 - 1e20, 1e20, *[0.0] * 4]))
    monkeypatch.setattr(trips, "cases", lambda config: [trips.Case("swa", Kernel.swa(5)), wild])
    start = load_state(state_path(snapshots, 15))
    scores, distances = trips.side_trips(lab, start, 0)
    lost = scores.query("kernel == 'wild' and model == 'trip'")
    assert lost["diverged"].all()
    assert lost["loss"].isna().all()
    assert sorted(lost["split"]) == ["train", "validation"]
    assert not scores.query("kernel == 'swa' or kernel == 'none'")["diverged"].any()
    assert list(distances["kernel"]) == ["swa"]


def test_controls_are_held_against_the_true_trip(lab, snapshots):
    start = load_state(state_path(snapshots, 15))
    scores, distances = trips.side_trips(lab, start, 0)
    apart = distances.set_index("kernel")
    for control in ("ema_reversed", "ema_shuffled"):
        assert list(scores[scores["kernel"] == control]["model"].unique()) == ["average"]
        assert apart.loc[control, "trip_to_start"] == apart.loc["ema", "trip_to_start"]
        assert apart.loc[control, "average_to_trip"] > 2 * apart.loc["ema", "average_to_trip"]


def test_single_step_starts_at_the_batch_loss_and_descends(lab, snapshots):
    table, _ = steps.single_step(lab, load_state(state_path(snapshots, 15)), 0)
    setting = ["batch_size", "direction", "batchnorm", "batch"]
    assert not table.duplicated([*setting, "index", "step_size"]).any()
    own = table.query("batch == 'own' and batchnorm == 'batch' and batch_size == 16").set_index("step_size")["loss"]
    assert (own.loc[0.0] == own.loc[0.0].iloc[0]).all()  # both directions start at the same loss
    first = sorted(set(own.index))[1]
    assert (own.loc[first] < own.loc[0.0].iloc[0]).all()
    held_out = table[table["batch"] == "held_out"].groupby(setting)["index"].unique()
    assert all(sorted(found) == list(range(1, 11)) for found in held_out)
    assert set(table[table["batch"] == "own"]["index"]) == {0}
    measured = table[["batch_size", "direction", "batchnorm"]].drop_duplicates().to_numpy().tolist()
    assert measured == [
        [16, "gradient", "batch"],
        [16, "gradient", "frozen"],
        [16, "momentum", "batch"],
        [64, "gradient", "batch"],
    ]


def test_the_momentum_direction_is_what_the_optimizer_takes(lab, snapshots):
    """One step of the run, from its branch point, in the direction that the measurement steps along."""
    start = load_state(state_path(snapshots, 15))
    after = run(lab, start, 1)
    model = lab.model()
    restore(start, model)
    gradient = steps.mean_gradient(model.train(), [lab.stream(0).batch(16)], "fp32")
    names = [name for name, _ in model.named_parameters()]
    direction = steps.applied_direction(gradient, start, names, lab.optimizer)
    for name, d in zip(names, direction, strict=True):
        expected = start.weights[name] - float(lab.rates[15]) * d
        assert torch.allclose(after.weights[name], expected, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("device", DEVICES)
def test_plain_gradient_against_finite_differences(lab, device):
    """Directional derivative in float64; no momentum, no weight decay in it."""
    model = lab.model().to(device).double().train()
    x, y = lab.stream(0).batch(1)
    batch = (x.to(device).double(), y.to(device))
    gradient = steps.mean_gradient(model, [batch], "fp32")
    step = 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradient, strict=True):
                p.add_(g, alpha=sign * step)
            values.append(float(steps.batch_loss(model, batch)))
            for p, g in zip(model.parameters(), gradient, strict=True):
                p.add_(g, alpha=-sign * step)
    squared = float(sum(g.square().sum() for g in gradient))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(squared, rel=1e-4)


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


def test_a_diverging_trip_is_the_same_row_however_losses_are_read(lab, snapshots, monkeypatch):
    wild = trips.Case("wild", Kernel([1 - 1e20, 1e20, *[0.0] * 4]))
    monkeypatch.setattr(trips, "cases", lambda config: [trips.Case("swa", Kernel.swa(5)), wild])
    start, tables = load_state(state_path(snapshots, 15)), []
    for block in (1, 100):
        monkeypatch.setattr(training, "losses_read_at_once", lambda device, block=block: block)
        tables.append(trips.side_trips(lab, start, 0))
    for one, blocks in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, blocks)


def test_diverging_burn_in_says_where(tmp_path):
    wild = random_lab(tmp_path, smoke_config(**{"burn_in.rate": 99.0}))
    wild.optimizer = Optimizer(0.99, 0.9)
    with pytest.raises(DivergedError, match=r"not finite at step \d+ \(rate 99, last finite loss [\d.e+]+\); lower"):
        burnt_in(wild, tmp_path)
