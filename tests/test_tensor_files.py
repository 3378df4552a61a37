"""Headers and shards are read as the safetensors library reads them; what is damaged is refused in one line."""

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save, save_file

from sidetrip.files import FileError
from sidetrip.tensor_files import read_snapshot, stored_bytes

TENSORS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "n": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "b": torch.ones(2),
}


def raw(tensor):
    return stored_bytes(tensor, 0, tensor.size).tobytes()


def with_header(text):
    return struct.pack("<Q", len(text)) + text + b"\0" * 8


GOOD = save({"a": torch.ones(2)})
DAMAGED = {
    b"": "header too small",
    GOOD[:20]: "header",
    GOOD[:-1]: "not fully covered",
    b"\xff" * 8 + GOOD[8:]: "header too large",
    pickle.dumps({"a": 1}, protocol=2): "a pickled checkpoint",
    b"PK\x03\x04" + GOOD: "a pickled checkpoint, never opened here; docs/merge.md converts it",
    with_header(b"[" * 100_000): "invalid JSON",
}


@pytest.mark.parametrize("length", [0x280, 0x4B50])
def test_a_header_may_have_null_for_metadata_and_the_length_that_is_the_mark_of_a_pickle(length, tmp_path):
    path = tmp_path / "x.safetensors"
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    path.write_bytes(with_header(json.dumps({"__metadata__": None, "a": entry}).encode().ljust(length)))
    found = read_snapshot(path)
    assert (found.metadata, str(found.tensors["a"])) == ({}, "F32 [2]")


def test_a_pointer_of_git_lfs_is_told_as_such(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(FileError) as error:
        read_snapshot(path)
    assert str(error.value) == f"{path}: a pointer of Git LFS, not the file; run `git lfs pull`"


@pytest.mark.parametrize(("content", "message"), DAMAGED.items(), ids=range(len(DAMAGED)))
def test_damage_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        read_snapshot(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert "copy" in str(error.value) or "converts" in str(error.value)


@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_harmless(tmp_path_factory, place, value):
    """Nothing but a FileError, and nothing accepted that the library refuses."""
    path = tmp_path_factory.mktemp("damaged") / "x.safetensors"
    content = bytearray(GOOD)
    content[place] = value
    path.write_bytes(content)
    try:
        found = read_snapshot(path)
    except FileError:
        return
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == found.tensors.keys()
        for name, tensor in found.tensors.items():
            assert tuple(file.get_slice(name).get_shape()) == tensor.shape


def sharded(folder, tensors, index="model.safetensors.index.json"):
    folder.mkdir()
    shards = [f"model-{i}-of-2.safetensors" for i in (1, 2)]
    places = {name: shards[i % 2] for i, name in enumerate(tensors)}
    for shard in shards:
        save_file({name: tensors[name] for name, place in places.items() if place == shard}, folder / shard)
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": places}), encoding="utf-8")
    return folder / index


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"])
def test_shards_are_one_snapshot(tmp_path, index):
    index = sharded(tmp_path / "shards", TENSORS, index)
    for path in (index, index.parent):
        found = read_snapshot(path).tensors
        assert {name: raw(tensor) for name, tensor in found.items()} == {
            name: tensor.numpy().tobytes() for name, tensor in TENSORS.items()
        }


def test_the_index_decides_which_shard_a_tensor_is_taken_from(tmp_path):
    index = sharded(tmp_path / "shards", TENSORS)
    places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    other = next(shard for shard in places.values() if shard != places["n"])
    held = {name: TENSORS[name] for name, shard in places.items() if shard == other}
    save_file(held | {"n": torch.tensor(-1), "unlisted": torch.ones(1)}, tmp_path / "shards" / other)
    for chosen, value in ((places["n"], 7), (other, -1)):
        index.write_text(json.dumps({"weight_map": places | {"n": chosen}}), encoding="utf-8")
        found = read_snapshot(index).tensors
        assert found.keys() == {*TENSORS, "unlisted"}
        assert raw(found["n"]) == np.int64(value).tobytes()


def test_what_all_shards_say_is_kept(tmp_path):
    index = sharded(tmp_path / "shards", TENSORS)
    for number, shard in enumerate(sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))):
        held = load((index.parent / shard).read_bytes())
        save_file(held, index.parent / shard, metadata={"format": "pt", "part": str(number)})
    assert read_snapshot(index).metadata == {"format": "pt"}


def test_faults_of_shards_are_one_line(tmp_path):
    index = sharded(tmp_path / "shards", TENSORS)
    content = json.loads(index.read_text(encoding="utf-8"))

    def says(message):
        with pytest.raises(FileError, match=message) as error:
            read_snapshot(tmp_path / "shards")
        assert "\n" not in str(error.value)

    for name, place, message in (
        ("more", "model-1-of-2.safetensors", "model-1-of-2.safetensors: has no tensor more, which model.safetensors."),
        ("n", "model-3-of-3.safetensors", "model-3-of-3.safetensors: cannot be read"),
        ("n", "../x.safetensors", "outside its folder; copy"),
        ("n", str(tmp_path / "x.safetensors"), "outside its folder; copy"),
    ):
        index.write_text(json.dumps({"weight_map": content["weight_map"] | {name: place}}), encoding="utf-8")
        says(message)
    for wrong in ("", "[]", "{}", '{"weight_map": {"a": 3}}', '{"weight_map": {}}'):
        index.write_text(wrong, encoding="utf-8")
        says("not an index of shards")
    index.unlink()
    says("holds 0 indices of shards .* and 2 safetensors files; name the one")
    with pytest.raises(FileError, match=r"nowhere.safetensors: cannot be read .*; check the path"):
        read_snapshot(tmp_path / "nowhere.safetensors")
