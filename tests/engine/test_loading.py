"""Resident and mapped pictures give the same bits; mapped ones are read only when asked for, and checked then."""

import os

import numpy as np
import pytest
import torch
from helpers import advanced, assert_same_bits, pack, random_pictures, smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.data.packed import Pictures, load_pictures, shard_paths
from sidetrip.engine import mapped as loading
from sidetrip.engine.lab import Lab
from sidetrip.engine.loading import Form, ResidentLoader
from sidetrip.engine.mapped import MappedLoader, Shards, open_loader
from sidetrip.engine.state import initial_state
from sidetrip.engine.streams import Augmentation, FixedBatches, PictureStream
from sidetrip.experiments.evaluator import scores
from sidetrip.files import FileError

CPU = torch.device("cpu")
FORM = Form(10, [0.3, 0.4, 0.5], [0.2, 0.3, 0.2], 3)
VARIED = [Augmentation(), Augmentation(shift=3, flip=True), Augmentation(flip=True, crop=0.25)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """53 colour pictures of 12 × 12 in shards of 10, and 20 for validation."""
    random = np.random.default_rng(0)

    def split(n):
        pixels = random.integers(0, 256, (n, 12, 12, 3), dtype=np.uint8)
        return Pictures(pixels, random.integers(0, 4, n), tuple("abcd"))

    return pack(tmp_path_factory.mktemp("pictures") / "prepare_data", split(53), split(20), shard=10)


@pytest.fixture(scope="module")
def resident(packed):
    return ResidentLoader(load_pictures(packed, "train"), FORM, "cpu")


def mapped(packed, form=FORM, device="cpu"):
    return MappedLoader(Shards(packed, "train", 53), form, device)


def equal(left, right):
    return all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(left, right, strict=True))


GPU = pytest.param("cuda", 8, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


@pytest.mark.parametrize("augmentation", VARIED)
@pytest.mark.parametrize(("device", "threads"), [("cpu", 1), ("cpu", 3), GPU])
def test_mapped_and_resident_batches_are_the_same_bits(packed, augmentation, device, threads):
    loaders = [ResidentLoader(load_pictures(packed, "train"), FORM, device), mapped(packed, device=device)]
    loaders[1]._threads = threads
    streams = [PictureStream(loader, 0, "train", 8, augmentation) for loader in loaders]
    for step in (*range(1, 15), 40, 2):  # over the end of an epoch, then not in order
        assert equal(*(stream.batch(step) for stream in streams))


@given(order=st.permutations(range(53)), size=st.integers(1, 20))
def test_fixed_batches_are_the_same_bits_at_every_pass(packed, resident, order, size):
    known, made = (FixedBatches(loader, np.array(order), size) for loader in (resident, mapped(packed)))
    for _ in range(2):
        assert len(known) == len(made)
        assert all(equal(a, b) for a, b in zip(known, made, strict=True))


def test_fixed_batches_are_kept_only_where_the_split_is(packed, resident):
    for loader in (resident, mapped(packed)):
        batches = FixedBatches(loader, np.arange(20), 10)
        first, again = list(batches), list(batches)
        assert all((x is y) == loader.resident for (x, _), (y, _) in zip(first, again, strict=True))


def test_the_next_batch_is_gathered_ahead(packed, monkeypatch):
    """The stream asks for step t + 1 while step t is taken: when it comes, nothing has to be gathered."""
    loader = mapped(packed)
    stream = PictureStream(loader, 0, "train", 8)
    stream.batch(1)
    monkeypatch.setattr(loader, "_gather", lambda indices: pytest.fail("gathered anew"))
    monkeypatch.setattr(loader, "prepare", lambda indices: None)
    assert equal(stream.batch(2), PictureStream(mapped(packed), 0, "train", 8).batch(2))


def test_only_what_is_asked_for_is_read(packed):
    loader = mapped(packed)
    read = []
    original = loader._shards.copy

    def copy(indices, target):
        read.extend(indices)
        original(indices, target)

    loader._shards.copy = copy
    stream = PictureStream(loader, 0, "train", 8)
    stream.batch(1)
    loader._ahead.finished()
    assert read == [*stream.indices(1), *stream.indices(2)]


def damage(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.fixture
def other(tmp_path):
    """A packing to spoil: 53 grey pictures in shards of 10."""
    return pack(tmp_path / "packed", random_pictures(53, 0), random_pictures(20, 1), shard=10)


GREY = Form(14, [0.3], [0.2])


def test_a_flipped_bit_is_found_when_the_picture_is_read(other):
    path = shard_paths(other, "train")[2]
    damage(path, path.stat().st_size - 14 * 14)  # the last picture's first pixel
    loader = mapped(other, GREY)
    loader.batch(np.arange(29))
    message = r"^.*shard_00002\.safetensors: damaged, picture 9 is not what was packed; remove .*/train, so that it"
    with pytest.raises(FileError, match=message):
        loader.batch(np.arange(30))


def test_a_flipped_bit_of_a_label_is_found(other):
    path = shard_paths(other, "train")[0]
    content = path.read_bytes()
    labels = load_pictures(other, "train").labels[:10].tobytes()
    damage(path, content.index(labels) + 8 * 3)
    with pytest.raises(FileError, match="picture 3 is not what was packed"):
        mapped(other, GREY).batch(np.arange(10))


def test_shards_that_are_missing_or_cut_off_are_refused(other):
    paths = shard_paths(other, "train")
    content = paths[5].read_bytes()
    paths[5].write_bytes(content[:-1])
    with pytest.raises(FileError, match=r"shard_00005\.safetensors: damaged \("):
        Shards(other, "train", 53)
    paths[5].unlink()
    with pytest.raises(FileError, match="holds 50 pictures of 53; remove"):
        Shards(other, "train", 53)


def test_which_loader_goes_by_size_and_crops(packed, monkeypatch):
    def kind(crops):
        return type(open_loader(packed, "train", 53, FORM, CPU, crops))

    assert (kind(False), kind(True)) == (ResidentLoader, MappedLoader)
    monkeypatch.setattr(loading, "MOST_RESIDENT", 53 * 12 * 12 * 3)
    assert kind(False) is MappedLoader


def test_training_and_scores_are_the_same_bits(packed, monkeypatch):
    changes = {"data.size": 10, "data.stored": 12, "data.source": "folder", "burn_in.batch_size": 8}
    changes["single_step.batch_sizes"] = [8]
    samples = {"train_samples": 40, "validation_samples": 15, "recalibration_samples": 20, "batch_size": 7}
    config = smoke_config(**changes, **{f"evaluation.{key}": value for key, value in samples.items()})
    resident = Lab(config, packed.parent, CPU)
    assert resident.train.resident
    monkeypatch.setattr(loading, "MOST_RESIDENT", 0)
    mapped = Lab(config, packed.parent, CPU)
    assert not mapped.train.resident
    ends = [advanced(lab, initial_state(lab.model()), 5) for lab in (resident, mapped)]
    assert_same_bits(*ends)
    assert list(scores(resident, ends[0])) == list(scores(mapped, ends[1]))


def test_no_file_stays_open(packed):
    """A split of a thousand shards must not run into the limit on open files."""
    before = len(os.listdir("/proc/self/fd"))
    loader = mapped(packed)
    loader.batch(np.arange(53))
    assert len(os.listdir("/proc/self/fd")) == before
