"""What is on disk is whole or refused: every kind of file that a later stage reads."""

import resource
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import random_pictures

from sidetrip.check import faults_of_results
from sidetrip.data.packed import load_pictures, save_shard, shard_path
from sidetrip.engine.state import TrainState, load_state, save_state
from sidetrip.files import (
    SUMS,
    FileError,
    check,
    is_whole,
    read_bytes,
    read_json,
    replacing,
    seal,
    sealing,
    write_bytes,
    write_json,
)
from sidetrip.tables import read_table, write_table

FLIPS, CUTS = 50, 10  # of every kind of file


def state() -> TrainState:
    random = torch.Generator().manual_seed(0)
    weights, momentum = (
        {"a": torch.randn(3, 5, generator=random), "b": torch.randn(7, generator=random)} for _ in range(2)
    )
    return TrainState(12, weights, {"count": torch.tensor(4), "mean": torch.zeros(3)}, {"momentum": momentum})


def fill(folder: Path) -> None:
    """One file of every kind."""
    save_state(state(), folder / "seed_0" / "step_000012.safetensors")
    save_shard(random_pictures(20, 0), shard_path(folder, "train", 0))
    write_table(pd.DataFrame({"seed": [0, 1], "loss": [0.5, np.nan], "kernel": ["swa", "ema"]}), folder / "table.csv")
    write_json(folder / "facts.json", {"mean": [0.25], "classes": 10})


READERS = {
    "seed_0/step_000012.safetensors": lambda path: load_state(path).weights["a"].tolist(),
    "train/shard_00000.safetensors": lambda path: load_pictures(path.parents[1], "train").pictures.tolist(),
    "table.csv": lambda path: read_table(path).to_csv(),
    "facts.json": read_json,
}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> Path:
    with sealing(tmp_path_factory.mktemp("sealed") / "out") as folder:
        fill(folder)
    return next(iter(tmp_path_factory.getbasetemp().glob("sealed*/out")))


def test_sha256sum_agrees(sealed):
    subprocess.run(["sha256sum", "--quiet", "--strict", "--check", SUMS], cwd=sealed, check=True)


@pytest.mark.parametrize("name", [*READERS, SUMS])
def test_damage_is_found_or_harmless(sealed, name):
    """Readers refuse what is flipped or cut off, naming a file and what to do, or return what was written."""
    expected = {file: read(sealed / file) for file, read in READERS.items()}
    path = sealed / name
    content = path.read_bytes()
    random = np.random.default_rng()
    refused = 0
    line_breaks = [8 * place for place, byte in enumerate(content) if byte == ord("\n")] if name == SUMS else []
    damages = [content[:length] for length in random.integers(0, len(content), CUTS)]
    for bit in [*random.integers(0, 8 * len(content), FLIPS), *line_breaks]:
        damages.append(bytearray(content))
        damages[-1][bit // 8] ^= 1 << (bit % 8)
    for damaged in damages:
        path.write_bytes(damaged)
        for file, read in READERS.items():
            try:
                found = read(sealed / file)
            except FileError as error:
                refused += 1
                assert str(sealed / file) in str(error)
                assert "made anew" in str(error)
            else:
                assert file != name, f"damage of {name} went unseen: {damaged}"
                assert found == expected[file]
    path.write_bytes(content)
    assert refused >= FLIPS + len(line_breaks)
    assert is_whole(sealed)


def test_what_is_not_listed_or_not_there_is_named(sealed, tmp_path):
    with pytest.raises(FileError, match=r"nothing\.csv: not listed in .*SHA256SUMS, one of the two is damaged; remove"):
        read_bytes(sealed / "nothing.csv")
    write_bytes(tmp_path / "alone.csv", b"a\n")
    with pytest.raises(FileError, match=r"alone\.csv: no SHA256SUMS beside it says what it must hold; remove"):
        check(tmp_path / "alone.csv")
    seal(tmp_path, [tmp_path / "alone.csv"])
    (tmp_path / "alone.csv").unlink()
    with pytest.raises(FileError, match=r"alone\.csv: cannot be read \(No such file or directory\); remove "):
        read_bytes(tmp_path / "alone.csv")


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept.txt"
    write_bytes(path, b"before")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sealed_folder_takes_the_place_of_the_former_whole_or_not_at_all(tmp_path):
    for content in (b"one", b"two"):
        with sealing(tmp_path / "out") as folder:
            write_bytes(folder / f"{content.decode()}.txt", content)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name != SUMS] == ["two.txt"]
    with pytest.raises(KeyError), sealing(tmp_path / "out") as folder:
        write_bytes(folder / "three.txt", b"three")
        raise KeyError
    assert read_bytes(tmp_path / "out" / "two.txt") == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_sealed_replaces_none_with_something_in_it(tmp_path):
    """What came there meanwhile is kept."""
    with pytest.raises(FileError, match="out"), replacing(tmp_path / "out") as temporary:
        temporary.mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").write_bytes(b"mine")
    assert (tmp_path / "out" / "notes.txt").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damaged_scratch_is_said_and_not_used(tmp_path, capsys):
    with sealing(tmp_path / "unit") as folder:
        write_bytes(folder / "a.csv", b"a\n")
    assert is_whole(tmp_path / "unit")
    (tmp_path / "unit" / "extra.csv").write_bytes(b"b\n")
    assert not is_whole(tmp_path / "unit")
    assert "extra.csv: not listed in" in capsys.readouterr().err
    (tmp_path / "unit" / "extra.csv").unlink()
    (tmp_path / "unit" / "a.csv").write_bytes(b"b\n")
    assert not is_whole(tmp_path / "unit")
    assert "a.csv: damaged" in capsys.readouterr().err
    assert not is_whole(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["bytes", "pictures"])
def test_a_full_disk_is_one_line(tmp_path, kind):
    """By a limit on the size of files, which the system reports like a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(FileError) as error, sealing(tmp_path / "out") as out:
            if kind == "bytes":
                write_bytes(out / "large.bin", bytes(100_000))
            else:
                save_shard(random_pictures(1000, 0), out / "large.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert "File too large" in str(error.value)
    assert "make room or set its permissions, and run again" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_no_fault_and_a_name_that_cannot_be_is_one(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "v" / "burn_in"
    with sealing(folder) as inside:
        (inside / "b.csv").write_text("1", encoding="utf-8")
    (folder.parent / ".host.1.burn_in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert list(faults_of_results()) == []
    sums = folder / SUMS
    sums.write_bytes(sums.read_bytes().replace(b"b.csv", b"b\0csv"))
    assert any("null byte" in str(fault) for fault in faults_of_results())
