"""A state on disk and off it, and arithmetic on it by hand."""

import pytest
import torch
from helpers import advanced, assert_same_bits
from torch import nn

from sidetrip.engine.state import TrainState, distance, initial_state, lerp, load_state, restore, save_state, state_path
from sidetrip.files import sealing


def test_state_survives_the_disk(lab, snapshots, tmp_path):
    state = advanced(lab, load_state(state_path(snapshots, 15)), 3)
    with sealing(tmp_path / "a") as folder:
        save_state(state, folder / "state.safetensors")
    found = load_state(tmp_path / "a" / "state.safetensors")
    assert_same_bits(state, found)
    save_state(found, tmp_path / "again.safetensors")
    assert (tmp_path / "a" / "state.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


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


def test_a_distance_has_the_same_bits_from_the_disk(lab, snapshots, tmp_path):
    """Sums go by the names, not by the order in which a file happens to hold the tensors."""
    start, end = (load_state(state_path(snapshots, step)) for step in (15, 40))
    live = advanced(lab, start, 25)
    assert list(live.weights) != list(end.weights)  # else there is nothing to see
    assert distance(live, start) == distance(end, start)
    assert distance(start, live) == distance(start, end)
