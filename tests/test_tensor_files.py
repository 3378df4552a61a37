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
from sidetrip.tensor_files import header_bytes, read_numbers, read_snapshot

TENSORS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "n": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "b": torch.ones(2),
}


def raw(tensor):
    return read_numbers(tensor, 0, np.empty(tensor.size, np.uint8)).tobytes()


def test_what_the_library_writes_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    found = read_snapshot(path)
    assert found.metadata == {"format": "pt"}
    for name, tensor in TENSORS.items():
        assert raw(found.tensors[name]) == tensor.numpy().tobytes()
        assert found.tensors[name].shape == tuple(tensor.shape)
    types = {name: tensor.dtype for name, tensor in found.tensors.items()}
    assert types == {"a.weight": "F32", "n": "I64", "empty": "F32", "b": "F32"}


@pytest.mark.parametrize("length", [0x280, 0x4B50])
def test_a_header_as_long_as_the_mark_of_another_format_is_read(length, tmp_path):
    path = tmp_path / "x.safetensors"
    text = json.dumps({"a": entry(0, 8, [2])}).encode().ljust(length)
    path.write_bytes(struct.pack("<Q", length) + text + b"\0" * 8)
    assert read_snapshot(path).tensors.keys() == {"a"}


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(0, 3), max_size=3), max_size=5))
def test_the_library_reads_what_is_laid_out_here(shapes):
    if "__metadata__" in shapes:
        return
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    content = header_bytes([(name, "F32", tuple(t.shape), t.nbytes) for name, t in tensors.items()], {"made": "here"})
    content += b"".join(t.numpy().tobytes() for t in tensors.values())
    found = load(content)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def with_header(header, data=b"\0" * 8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = save({"a": torch.ones(2)})
DAMAGED = {
    b"": "header too small",
    GOOD[:20]: "header",
    GOOD[:-1]: "not fully covered",
    GOOD + b"\0": "not fully covered",
    b"\xff" * 8 + GOOD[8:]: "header too large",
    pickle.dumps({"a": 1}, protocol=2): "a pickled checkpoint",
    b"PK\x03\x04" + GOOD: "a pickled checkpoint, never opened here; docs/merge.md converts it",
    with_header(b"[" * 100_000): "invalid JSON",
    with_header(b'{"a":{"dtype":"F32","shape":[' + b"9" * 1_000_000 + b'],"data_offsets":[0,8]}}'): "out of range",
    with_header({"a": entry(0, 8, [2], "F7")}): "unknown variant `F7`",
    with_header({"a": entry(0, 4, [1]), "b": entry(0, 8, [2])}): "invalid offset",
    with_header(
        b'{"a":%b,"a":%b}' % tuple(json.dumps(entry(n, n + 4, [1])).encode() for n in (0, 4))
    ): "invalid offset",
}


def test_metadata_may_be_null(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header({"__metadata__": None, "a": entry(0, 8, [2])}))
    assert read_snapshot(path).metadata == {}


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


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(GOOD)
    tensor = read_snapshot(path).tensors["a"]
    path.write_bytes(GOOD[:-3])
    with pytest.raises(FileError, match="became shorter while it was read"):
        raw(tensor)


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

    index.write_text(
        json.dumps({"weight_map": content["weight_map"] | {"more": "model-1-of-2.safetensors"}}), encoding="utf-8"
    )
    says("model-1-of-2.safetensors: has no tensor more, which model.safetensors.index.json places there")
    index.write_text(
        json.dumps({"weight_map": content["weight_map"] | {"n": "model-3-of-3.safetensors"}}), encoding="utf-8"
    )
    says("model-3-of-3.safetensors: cannot be read")
    for outside in ("../x.safetensors", str(tmp_path / "x.safetensors")):
        index.write_text(json.dumps({"weight_map": content["weight_map"] | {"n": outside}}), encoding="utf-8")
        says("outside its folder; copy")
    for wrong in ("", "[]", "{}", '{"weight_map": {"a": 3}}', '{"weight_map": {}}'):
        index.write_text(wrong, encoding="utf-8")
        says("not an index of shards")
    index.unlink()
    says("holds 0 indices of shards .* and 2 safetensors files; name the one")
    with pytest.raises(FileError, match=r"nowhere.safetensors: cannot be read .*; check the path"):
        read_snapshot(tmp_path / "nowhere.safetensors")
