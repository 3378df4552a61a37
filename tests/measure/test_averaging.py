"""Running averages by hand; against torch's own: tests/benchmarks/test_benchmark.py."""

import pytest
import torch

from sidetrip.engine.state import TrainState
from sidetrip.engine.training import Position
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage


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
