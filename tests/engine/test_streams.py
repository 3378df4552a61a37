"""Batches are pure functions of (seed, stream, step); every epoch visits each sample once."""

import numpy as np
import pytest
import torch
from helpers import random_pictures
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.engine.loading import Form, ResidentLoader
from sidetrip.engine.streams import FixedBatches, KeptBatches, PictureStream

MOVED = {"shift": 2, "flip": True}
CROPPED = {"flip": True, "crop": 0.25}


def stream(seed=0, name="train", size=8, n=64, augmentation=MOVED):
    loader = ResidentLoader(random_pictures(n, 5), Form(10, [0.3], [0.2], 2), "cpu")
    return PictureStream(loader, seed, name, size, **augmentation)


@given(st.integers(0, 5), st.sampled_from(["train", "other"]), st.integers(1, 200), st.sampled_from([MOVED, CROPPED]))
def test_any_step_can_be_replayed_alone(seed, name, step, augmentation):
    x, y = stream(seed, name, augmentation=augmentation).batch(step)
    again, labels = stream(seed, name, augmentation=augmentation).batch(step)
    assert torch.equal(x, again)
    assert torch.equal(y, labels)


def test_seeds_streams_steps_and_epochs_differ():
    streams = [(stream(0), 1), (stream(1), 1), (stream(0, "other"), 1), (stream(0), 2), (stream(0), 9)]
    assert len({each.batch(step).inputs.numpy().tobytes() for each, step in streams}) == 5
    assert len({tuple(each.indices(step)) for each, step in streams}) == 5


@given(st.integers(2, 16), st.integers(16, 50), st.integers(0, 3))
def test_an_epoch_visits_each_sample_at_most_once(size, n, epoch):
    source = stream(size=size, n=n)
    full = n // size
    visited = np.concatenate([source.indices(epoch * full + i) for i in range(1, full + 1)])
    assert len(set(visited)) == full * size
    if n % size == 0:
        assert sorted(visited) == list(range(n))


@given(st.integers(-2, 2), st.integers(-2, 2), st.booleans(), st.integers(5, 9))
def test_augmentation_by_hand(down, right, flip, side):
    """The central window moved first, black beyond the stored picture, then mirrored; in loops over pixels."""
    split = random_pictures(3, 9, side=side)
    loader = ResidentLoader(split, Form(5, [0.3], [0.2], 2), "cpu")
    pixels, _ = loader.pixels(np.array([1]), np.array([[down, right]]), np.array([flip]))
    expected, first = torch.zeros(5, 5), (side - 5) // 2
    for i in range(5):
        for j in range(5):
            source_i, source_j = first + i - down, first + (4 - j if flip else j) - right
            if 0 <= source_i < side and 0 <= source_j < side:
                expected[i, j] = int(split.pictures[1, source_i, source_j, 0])
    assert torch.equal(pixels[0, ..., 0].float(), expected)
    torch.testing.assert_close(loader.normalised(pixels)[0, 0], (expected / 255.0 - 0.3) / 0.2)


def test_fixed_batches_hold_every_sample_once():
    split = random_pictures(23, 3)
    batches = FixedBatches(ResidentLoader(split, Form(14, [0.0], [1.0]), "cpu"), np.arange(23), 10)
    assert [len(y) for _, y in batches] == [10, 10, 3]
    assert torch.cat([y for _, y in batches]).tolist() == split.labels.tolist()


@pytest.mark.parametrize("augmentation", [MOVED, CROPPED])
def test_kept_batches_are_those_of_the_stream_in_a_quarter_of_the_memory(augmentation):
    whole = stream(augmentation=augmentation)
    kept = KeptBatches(whole, [3, 1, 70])
    assert [pixels.dtype for pixels, _ in kept._kept] == [torch.uint8] * 3
    assert (len(kept), kept.samples) == (3, 24)
    for (pictures, labels), step in zip(kept, [3, 1, 70], strict=True):
        expected, theirs = whole.batch(step)
        assert torch.equal(labels, theirs)
        assert torch.equal(pictures, expected)
        assert pictures.stride() == expected.stride()
