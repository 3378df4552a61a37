"""Batches are pure functions of (seed, stream, step); every epoch visits each sample once."""

import numpy as np
import pytest
import torch
from helpers import random_pictures
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.data.packed import Pictures, load_pictures, moments, save_pictures
from sidetrip.data.streams import Augmentation, FixedBatches, Loader, TrainingStream
from sidetrip.files import sealing

MOVED = Augmentation(shift=2, flip=True)


def stream(seed=0, name="train", size=8, n=64, augmentation=MOVED):
    return TrainingStream(Loader(random_pictures(n, 5), [0.3], [0.2], 2, "cpu"), seed, name, size, augmentation)


@given(st.integers(0, 5), st.sampled_from(["train", "other"]), st.integers(1, 200))
def test_any_step_can_be_replayed_alone(seed, name, step):
    x, y = stream(seed, name).batch(step)
    again, labels = stream(seed, name).batch(step)
    assert torch.equal(x, again)
    assert torch.equal(y, labels)


def test_seeds_streams_and_steps_differ():
    first = [stream(0).batch(1)[0], stream(1).batch(1)[0], stream(0, "other").batch(1)[0], stream(0).batch(2)[0]]
    for i, a in enumerate(first):
        assert all(not torch.equal(a, b) for b in first[:i])


@given(st.integers(2, 16), st.integers(16, 50), st.integers(0, 3))
def test_an_epoch_visits_each_sample_at_most_once(size, n, epoch):
    source = stream(size=size, n=n)
    full = n // size
    visited = np.concatenate([source.indices(epoch * full + i) for i in range(1, full + 1)])
    assert len(set(visited)) == full * size
    if n % size == 0:
        assert sorted(visited) == list(range(n))


def test_epochs_differ_in_order():
    source = stream()
    assert not np.array_equal(source.indices(1), source.indices(1 + 64 // 8))


@given(st.integers(-2, 2), st.integers(-2, 2), st.booleans())
def test_augmentation_by_hand(down, right, flip):
    """Moved first, black comes in, then mirrored; against loops over pixels."""
    split = random_pictures(3, 9, side=5)
    loader = Loader(split, [0.0], [1.0], 2, "cpu")
    x, _ = loader.batch(np.array([1]), np.array([[down, right]]), np.array([flip]))
    expected = torch.zeros(5, 5)
    for i in range(5):
        for j in range(5):
            source_i, source_j = i - down, (4 - j if flip else j) - right
            if 0 <= source_i < 5 and 0 <= source_j < 5:
                expected[i, j] = split.pictures[1, 0, source_i, source_j] / 255.0
    torch.testing.assert_close(x[0, 0], expected)


def test_fixed_batches_hold_every_sample_once():
    split = random_pictures(23, 3)
    batches = FixedBatches(Loader(split, [0.0], [1.0], 0, "cpu"), np.arange(23), 10)
    assert [len(y) for _, y in batches] == [10, 10, 3]
    assert torch.equal(torch.cat([y for _, y in batches]), split.labels)


def test_moments_are_numpy_s():
    pixels = torch.randint(0, 256, (7, 3, 4, 4), dtype=torch.uint8)
    mean, deviation = moments(Pictures(pixels, torch.zeros(7, dtype=torch.int64), ("a",)))
    full = pixels.double().numpy() / 255
    assert mean == pytest.approx(list(full.mean(axis=(0, 2, 3))), abs=1e-12)
    assert deviation == pytest.approx(list(full.std(axis=(0, 2, 3))), abs=1e-12)


def test_packed_pictures_survive_the_disk(tmp_path):
    split = random_pictures(11, 2)
    with sealing(tmp_path / "packed") as folder:
        save_pictures(split, folder / "x.safetensors")
    back = load_pictures(tmp_path / "packed" / "x.safetensors")
    assert torch.equal(back.pictures, split.pictures)
    assert torch.equal(back.labels, split.labels)
    assert back.classes == split.classes
