"""A state on disk and off it, and arithmetic on it by hand."""

import pytest
import torch
from helpers import small_network
from torch import nn

from sidetrip.engine.state import TrainState, distance, initial_state, lerp, load_state, restore, save_state, state_path
from sidetrip.files import sealing


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


@pytest.mark.parametrize("seed", range(2))
def test_a_distance_has_the_same_bits_from_the_disk(seed, tmp_path):
    """Sums go by names and indices, not by the order in which memory or a file happens to hold the numbers."""
    states = [initial_state(small_network("resnet8", seed=key, width=16)) for key in (seed, seed + 100)]
    with sealing(tmp_path / "states") as folder:
        for number, state in enumerate(states):
            save_state(state, state_path(folder, number))
    loaded = [load_state(state_path(tmp_path / "states", number)) for number in range(len(states))]
    assert list(loaded[0].weights) != list(states[0].weights)  # else there is nothing to see
    expected = distance(*states)
    assert {distance(a, b) for a in (states[0], loaded[0]) for b in (states[1], loaded[1])} == {expected}
    assert distance(*reversed(states)) == expected
