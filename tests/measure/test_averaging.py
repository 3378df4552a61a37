"""Running averages against torch's own: tests/benchmarks/test_benchmark.py."""

import pytest
import torch

from sidetrip.engine.training import Position
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage


def test_average_refuses_half_a_window():
    average = RunningAverage(Kernel.swa(4), 0)
    average(Position(0, {"w": torch.zeros(1)}, None, pytest.fail))
    with pytest.raises(RuntimeError, match=r"has seen 1 of 5 iterates; advance"):
        average.weights()
