"""Resident and mapped pictures give the same bits; mapped ones are read only when asked for, and checked then."""

import os

import numpy as np
import pytest
import torch
from helpers import pack, random_pictures
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.data.packed import Pictures, load_pictures, shard_paths
from sidetrip.engine import mapped as loading
from sidetrip.engine.loading import Form, ResidentLoader
from sidetrip.engine.mapped import MappedLoader, Shards, open_loader
from sidetrip.engine.streams import FixedBatches, PictureStream
from sidetrip.files import FileError

CPU = torch.device("cpu")
FORM = Form(10, [0.3, 0.4, 0.5], [0.2, 0.3, 0.2], 3)
VARIED = [{}, {"shift": 3, "flip": True}, {"flip": True, "crop": 0.25}]


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
    streams = [PictureStream(loader, 0, "train", 8, **augmentation) for loader in loaders]
    for step in (*range(1, 15), 40, 2):  # over the end of an epoch, then not in order
        assert equal(*(stream.batch(step) for stream in streams))


@given(order=st.permutations(range(53)), size=st.integers(1, 20))
def test_fixed_batches_are_the_same_bits_at_every_pass_and_kept_only_where_the_split_is(packed, resident, order, size):
    known, made = (FixedBatches(loader, np.array(order), size) for loader in (resident, mapped(packed)))
    assert len(known) == len(made)
    kept, again, read, anew = (list(batches) for batches in (known, known, made, made))
    assert all(equal(one, each) for one, *others in zip(kept, again, read, anew, strict=True) for each in others)
    assert kept[0] is again[0]
    assert read[0] is not anew[0]


def test_pictures_are_read_once_and_ahead_of_their_step(packed, monkeypatch):
    """The stream asks for step t + 1 while step t is taken, and for nothing else."""
    loader, read = mapped(packed), []
    copy = loader._shards.copy

    def noting(indices, target):
        read.extend(indices)
        copy(indices, target)

    monkeypatch.setattr(loader._shards, "copy", noting)
    stream = PictureStream(loader, 0, "train", 8)
    for step in (1, 2):
        stream.batch(step)
    loader._ahead.parts[0].result()
    assert read == [*stream.indices(1), *stream.indices(2), *stream.indices(3)]


@pytest.fixture
def other(tmp_path):
    """A packing to spoil: 53 grey pictures in shards of 10."""
    return pack(tmp_path / "packed", random_pictures(53, 0), random_pictures(20, 1), shard=10)


GREY = Form(14, [0.3], [0.2])


def test_a_flipped_bit_of_a_picture_or_a_label_is_found_when_the_picture_is_read(other):
    path = shard_paths(other, "train")[2]
    content = path.read_bytes()
    label = content.index(load_pictures(other, "train").labels[20:30].tobytes()) + 8 * 3
    for offset, damaged in ((len(content) - 14 * 14, 9), (label, 3)):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        loader = mapped(other, GREY)
        loader.batch(np.arange(20 + damaged))
        message = (
            rf"^.*shard_00002\.safetensors: damaged, picture {damaged} is not what was packed; remove .*/train, so that"
        )
        with pytest.raises(FileError, match=message):
            loader.batch(np.arange(21 + damaged))


def test_shards_that_are_missing_or_cut_off_are_refused(other):
    path = shard_paths(other, "train")[5]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"shard_00005\.safetensors: damaged \("):
        Shards(other, "train", 53)
    path.unlink()
    with pytest.raises(FileError, match="holds 50 pictures of 53; remove"):
        Shards(other, "train", 53)


def test_which_loader_goes_by_size_and_crops(packed, monkeypatch):
    def kind(crops):
        return type(open_loader(packed, "train", 53, FORM, CPU, crops))

    assert (kind(False), kind(True)) == (ResidentLoader, MappedLoader)
    monkeypatch.setattr(loading, "MOST_RESIDENT", 53 * 12 * 12 * 3)
    assert kind(False) is MappedLoader


def test_no_file_stays_open(packed):
    """A split of a thousand shards must not run into the limit on open files."""
    before = len(os.listdir("/proc/self/fd"))
    loader = mapped(packed)
    loader.batch(np.arange(53))
    assert len(os.listdir("/proc/self/fd")) == before
