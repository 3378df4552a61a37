"""A state on disk and off it, and arithmetic on it by hand."""

import pytest
import torch
from helpers import advanced
from torch import nn

from sidetrip.engine.state import TrainState, distance, initial_state, lerp, restore


def test_lerp_and_distance_by_hand():
    zero = torch.zeros(2)
    a = TrainState(1, {"w": torch.tensor([0.0, 1.0])}, {}, {"momentum": {"w": zero}})
    b = TrainState(2, {"w": torch.tensor([3.0, 5.0])}, {}, {"momentum": {"w": zero}})
    assert distance(a, b) == 5.0
    assert lerp(a, b, 0.25).weights["w"].tolist() == [0.75, 2.0]
    assert torch.equal(lerp(a, b, 1.0).weights["w"], b.weights["w"])


def test_state_of_another_architecture_is_refused(lab):
    with pytest.raises(ValueError, match="another architecture"):
        restore(initial_state(nn.Linear(2, 2)), lab.model())


def test_a_distance_has_the_same_bits_from_the_disk(lab, snapshots):
    """Sums go by names and indices, not by the order in which memory or a file happens to hold the numbers."""
    start, end = lab.snapshot(0, 15), lab.snapshot(0, 40)
    passed, reached = advanced(lab, lab.snapshot(0, 10), 5), advanced(lab, start, 25)
    assert list(reached.weights) != list(end.weights)  # else there is nothing to see
    assert not all(weight.is_contiguous() for weight in reached.weights.values())
    expected = distance(start, end)
    assert {distance(a, b) for a in (start, passed) for b in (end, reached)} == {expected}
    assert distance(reached, passed) == expected
