"""Running averages against torch's own, and by hand."""

import pytest
import torch
from helpers import advanced
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sidetrip.engine.state import TrainState, load_state, restore, state_path, with_weights
from sidetrip.engine.training import Position
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage


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

    advanced(lab, start, k, [ours, feed])
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

    advanced(lab, start, k, [ours, feed])
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
    return Position(step, {"w": weight}, None, lambda: TrainState(step, {"w": weight}, {}, {}))
