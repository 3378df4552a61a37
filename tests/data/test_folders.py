"""Folders of pictures: what is found, what is left out, and packing in parts that are known by their files."""

import os
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import helpers
import numpy as np
import pytest
from helpers import smoke_config
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from sidetrip.config import ConfigError
from sidetrip.config.paths import as_path, found_path
from sidetrip.data import folders
from sidetrip.data.account import LeftOut, account, names_table
from sidetrip.data.folders import SUFFIXES, check_root, find_shards
from sidetrip.data.packed import (
    SPLITS,
    Facts,
    Pictures,
    gather_facts,
    load_pictures,
    moments,
    read_facts,
    save_shard,
    shard_path,
)
from sidetrip.data.sources import find, pack
from sidetrip.files import sealing


def picture(level: int = 9, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.full((8, 8), level, dtype))


def fill(root: Path, number: int) -> Path:
    """A folder with two splits of two classes, so many random pictures in each."""
    random = np.random.default_rng(0)
    for split, name in product(("train", "test"), ("bee", "ant")):
        (root / split / name).mkdir(parents=True)
        for i in range(number):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture
def tree(tmp_path):
    """One picture in each class of each split."""
    return fill(tmp_path, 1)


def data(root, **changes):
    values = {"source": "folder", "name": "bugs", "root": str(root), "size": 8, "shift": 1} | changes
    return replace(smoke_config().data, **values)


# Packing


def test_the_pictures_of_all_shards_are_those_of_the_files_in_their_order(tmp_path, monkeypatch):
    """In classes numbered alphabetically. No process holds more pictures than those of a shard at once."""
    monkeypatch.setattr(folders, "PICTURES_A_SHARD", 3)
    settings = data(fill(tmp_path, 4))
    assert [len(part) for part in find(settings)[0]] == [3, 3, 2, 3, 3, 2]
    with sealing(tmp_path / "packed") as packed:
        pack(settings, packed)
    for split, folder in zip(SPLITS, ("train", "test"), strict=True):
        found, files = load_pictures(tmp_path / "packed", split), sorted((tmp_path / folder).rglob("*.png"))
        assert found.classes == ("ant", "bee")
        assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert np.array_equal(found.pictures, [np.asarray(Image.open(file)) for file in files])


def test_a_picture_that_was_changed_is_packed_again(tmp_path, monkeypatch):
    """A unit is known by its files: only those of the runs that a change touches are new."""
    monkeypatch.setattr(folders, "PICTURES_A_SHARD", 4)
    settings = data(fill(tmp_path, 7))

    def names():
        return [part.name for part in find(settings)[0]]

    before = names()
    assert len(set(before)) == len(before) == 2 * 4
    assert names() == before
    path = tmp_path / "train" / "ant" / "5.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert [a == b for a, b in zip(names(), before, strict=True)] == [True, False, *[True] * 6]
    (tmp_path / "train" / "bee" / "1.png").unlink()
    assert [a == b for a, b in zip(names(), before, strict=True)] == [True, False, False, False, *[True] * 4]


# What is found


def found(root) -> tuple[list[str], list[LeftOut]]:
    """Files of the training split, and what is left out of both."""
    shards, left_out = find_shards(data(root))
    return list(shards[0].files), left_out


def test_all_that_torchvision_takes_is_taken_by_its_name_in_any_case(tree):
    assert set(IMG_EXTENSIONS) <= set(SUFFIXES)
    for suffix in SUFFIXES:
        (tree / "train" / "ant" / f"x{suffix.upper()}").touch()
    files, left_out = found(tree)
    assert (len(files), left_out) == (2 + len(SUFFIXES), [])


def test_linked_folders_are_followed_and_no_class_is_read_in_circles(tree):
    (tree / "elsewhere" / "deeper").mkdir(parents=True)
    picture().save(tree / "elsewhere" / "deeper" / "1.png")
    (tree / "train" / "ant" / "more").symlink_to(tree / "elsewhere")
    for split in ("train", "test"):
        (tree / split / "cow").symlink_to(tree / "elsewhere")
    files, left_out = found(tree)
    assert files == ["ant/0.png", "ant/more/deeper/1.png", "bee/0.png", "cow/deeper/1.png"]
    assert left_out == []
    (tree / "elsewhere" / "deeper" / "back").symlink_to(tree / "elsewhere")
    for name, target in (("self", "train/ant"), ("split", "train"), ("root", ".")):
        (tree / "train" / "ant" / name).symlink_to((tree / target).resolve())
    again, left_out = found(tree)
    assert again == files
    assert {file for file, reason in left_out if "leads back" in reason} == {
        *(f"train/ant/{name}/" for name in ("self", "split", "root", "more/deeper/back")),
        *(f"{split}/cow/deeper/back/" for split in ("train", "test")),
    }


FACTS = Facts(3, 2, 40, 12, [], [])


def test_what_is_odd_about_pictures_is_told():
    assert account(FACTS, [], 3 * [("x.png", "dark")], Path("runs/x")).splitlines() == [
        "sidetrip: 52 pictures packed (40 for training, 12 for validation), none left out",
        "sidetrip: 3 pictures with a remark: dark; listed in runs/x/remarks.csv",
    ]


def test_what_is_left_out_is_counted_and_its_folders_are_named(tree):
    ant = tree / "train" / "ant"
    for folder in (ant / ".hidden", ant / "@eaDir", tree / "train" / "@eaDir", tree / "test" / "__MACOSX"):
        folder.mkdir()
        picture().save(folder / "0.png")
    for file in (ant / "notes.txt", ant / "._0.png", tree / "train" / "stray.png", tree / "test" / "bee" / "a.mp4"):
        file.touch()
    (ant / "loop").symlink_to("loop")
    files, left_out = found(tree)
    assert files == ["ant/0.png", "bee/0.png"]
    assert left_out == [
        ("train/@eaDir/", "hidden"),
        ("train/ant/._0.png", "hidden"),
        ("train/ant/.hidden/", "hidden"),
        ("train/ant/@eaDir/", "hidden"),
        ("train/ant/loop", "other kind of file"),
        ("train/ant/notes.txt", "other kind of file"),
        ("train/stray.png", "in no class folder"),
        ("test/__MACOSX/", "hidden"),
        ("test/bee/a.mp4", "other kind of file"),
    ]
    lines = account(FACTS, left_out, [], Path("runs/x")).splitlines()
    assert lines[0] == (
        "sidetrip: 52 pictures packed (40 for training, 12 for validation), 9 left out (5 hidden, 3 other "
        "kind of file, 1 in no class folder), listed in runs/x/left_out.csv"
    )
    named = ("train/@eaDir/", "train/ant/.hidden/", "train/ant/@eaDir/", "test/__MACOSX/")
    assert lines[1:] == [f"sidetrip: left out: {folder} (hidden)" for folder in named]
    many = account(FACTS, 9 * left_out, [], Path("runs/x")).splitlines()
    assert (len(many), many[-1]) == (7, "sidetrip: left out: 31 more folders")


def test_a_folder_without_permission_is_named_or_refused(tree, monkeypatch):
    scan, closed = os.scandir, set()

    def scandir(path):  # permissions mean nothing to root
        if Path(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)
    (tree / "train" / "ant" / "secret").mkdir()
    closed.add(tree / "train" / "ant" / "secret")
    assert found(tree)[1] == [("train/ant/secret/", "folder that cannot be listed")]
    for folder, message in (("train/ant", "1 of 2 classes .* fill"), ("train", "train cannot be listed .*permission")):
        closed.add(tree / folder)
        with pytest.raises(ConfigError, match=message):
            found(tree)


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


BAD_TREES = [
    (
        lambda tree: (tree / "train").rename(tree / "training"),
        "train_split = train: no folder .* there is test, training",
    ),
    (lambda tree: replace_by_file(tree / "test"), "validation_split = test: no folder .* there is train in"),
    (lambda tree: shutil.rmtree(tree / "train/bee"), r"train_split = train: .* \(ant\); it needs at least 2"),
    (lambda tree: (tree / "test/bee/0.png").unlink(), r"validation_split = test: 1 of 2 .* \(bee\); fill or remove"),
    (
        lambda tree: [(tree / split / f"c{i}").mkdir() for split in ("train", "test") for i in range(7)],
        r"train_split = train: 7 of 9 .* \(c0, c1, c2, c3, c4 and 2 more\); fill",
    ),
    (
        lambda tree: (tree / "test/bee").rename(tree / "test/fly"),
        "data.root = .*: bee only in train; fly only in test; make them equal",
    ),
    (
        lambda tree: (shutil.rmtree(tree / "test"), (tree / "test").symlink_to("train")),  # type: ignore[func-returns-value]
        "data.validation_split = test: the same folder .* name another",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_TREES)
def test_folders_that_do_not_do_are_refused(tree, spoil, message):
    spoil(tree)
    with pytest.raises(ConfigError, match=message):
        found(tree)


@pytest.mark.parametrize("source", ["folder", "torchvision"])
def test_a_file_in_place_of_a_folder_is_refused(tree, source):
    with pytest.raises(ConfigError, match=r"data.root = .*0.png: a file; name the folder"):
        check_root(data(tree / "train/ant/0.png", source=source, name="cifar10"))


def test_a_shard_tells_every_picture_that_is_odd(tree, tmp_path):
    """Those that cannot be read: tests/config/test_bad_input.py."""
    ant = tree / "train" / "ant" / "1.png"
    picture(4095, np.uint16).save(ant)
    (shard, _), _ = find_shards(data(tree))
    assert [path for path, _ in shard.pack(data(tree), tmp_path, lambda pictures: None)["remarks"]] == [ant]


def test_a_name_that_is_no_text_can_be_listed(tmp_path):
    table = names_table([(os.fsdecode(b"caf\xe9.png"), "empty"), (tmp_path / "größe.png", "empty")])
    assert table["file"].tolist() == ["caf�.png", f"{tmp_path}/größe.png"]


# Where data.root is


def test_paths_are_taken_as_a_shell_takes_them(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.parent))
    monkeypatch.setenv("PICTURES", "large")
    assert as_path("$HOME/${PICTURES}/x") == tree.parent / "large" / "x"
    assert as_path("relative/größe") == Path("relative/größe")
    assert as_path("~nobody-of-this-name/$NOT_SET") == Path("~nobody-of-this-name/$NOT_SET")
    assert find_shards(data(f"~/{tree.name}"))[0][0].where == tree / "train"
    with pytest.raises(ConfigError, match=rf"~/none: no such folder \({tree.parent}/none\); name the folder"):
        check_root(data("~/none"))


def test_a_copy_of_the_checkout_finds_what_git_ignores_in_the_original(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert found_path("nowhere") == Path("nowhere")
    copy = tree / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert found_path(".", "train") == tree
    (copy / "train").mkdir()  # what git does not ignore is the experiment's own
    assert found_path(".", "train") == Path()
    assert found_path(str(tree)) == tree


# Packed arrays


def test_a_shard_is_one_run_of_bytes_a_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    save_shard(Pictures(pixels, np.arange(7), tuple("abcdefg")), shard_path(tmp_path, "train", 0))
    content = shard_path(tmp_path, "train", 0).read_bytes()
    assert content.endswith(pixels.tobytes())


def test_facts_are_those_of_all_shards_together(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (17, 6, 6, 3), dtype=np.uint8) // np.array([1, 7, 2], np.uint8)
    pixels[..., 2] = 30
    whole = Pictures(pixels, random.integers(0, 3, 17), tuple("abc"))
    halves = [Pictures(pixels[part], whole.labels[part], whole.classes) for part in (slice(9), slice(9, 17))]
    packed = [helpers.pack(tmp_path / str(i), half, whole, shard=5) for i, half in enumerate(halves)]
    found = gather_facts(packed)
    full = pixels / 255.0
    assert (found.channels, found.classes) == (3, 3)
    assert (found.train_samples, found.validation_samples) == (17, 34)
    assert found.mean == pytest.approx(list(full.mean(axis=(0, 1, 2))), abs=1e-12)
    assert found.deviation == pytest.approx([*full[..., :2].std(axis=(0, 1, 2)), 1.0], abs=1e-12)  # to divide by
    assert read_facts(packed[0]) == gather_facts(packed[:1])


def test_drawings_in_black_on_a_transparent_ground_are_refused(tree, tmp_path):
    """They come out black, all of them."""
    for path in tree.glob("*/*/*.png"):
        Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(path)
    with pytest.raises(ConfigError, match="all 2 training pictures are the same plain colour; use others"):
        pack(data(tree), tmp_path / "packed")


def test_moments_are_exact_for_counts_that_no_double_holds():
    histogram = np.zeros((1, 256), np.int64)
    histogram[0, [0, 255]] = 2**55 + 1, 2**55 + 1
    assert moments(histogram) == ([0.5], [0.5])
