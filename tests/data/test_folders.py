"""Packing folders: in runs, each a sealed shard, so that a stage that is killed goes on from those it has."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import smoke_config
from PIL import Image
from smoke import digests, environment

from sidetrip.config import load_params, resolve, save_config
from sidetrip.data import folders
from sidetrip.data.decoding import decode
from sidetrip.data.packed import (
    Pictures,
    gather_facts,
    load_pictures,
    moments,
    read_facts,
    save_shard,
    shard_path,
    shard_paths,
    write_facts,
)
from sidetrip.data.sources import find
from sidetrip.files import SUMS, seal

ROOT = Path(__file__).parents[2]
TRAIN, TEST, SIDE = 10_000, 100, 16
CLASSES = [f"class_{i}" for i in range(10)]


def write_kinds(folder: Path) -> list[Path]:
    """One small file of every kind."""
    random = np.random.default_rng(0)
    folder.mkdir()

    def picture(height, width):
        coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    turned = Image.Exif()
    turned[0x0112] = 6
    picture(48, 64).save(folder / "wide.jpg")
    picture(90, 40).save(folder / "tall.JPEG")
    picture(16, 16).save(folder / "exact.jpg")
    picture(7, 9).save(folder / "small.jpeg")
    picture(50, 30).save(folder / "turned.jpg", exif=turned)
    picture(33, 33).convert("L").save(folder / "grey.jpg")
    picture(40, 40).quantize(16).save(folder / "palette.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """10 000 training pictures and 100 others, a handful of files under many names."""
    root = tmp_path_factory.mktemp("data")
    kinds = write_kinds(root / "kinds")
    for split, number in (("train", TRAIN), ("test", TEST)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
        for i in range(number):
            kind = kinds[i % len(kinds)]
            os.link(kind, root / split / CLASSES[i * len(CLASSES) // number] / f"{i:05d}{kind.suffix}")
    return root


@pytest.fixture
def repository(tmp_path, pictures):
    return repository_in(tmp_path, pictures)


def repository_in(folder: Path, pictures: Path) -> Path:
    """A repository whose smoke variant has these pictures, configured."""
    for name in ("dvc.yaml", "src", "stages", "datasets"):
        (folder / name).symlink_to(ROOT / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    data = {"source": "folder", "name": "kinds", "root": str(pictures), "size": 14, "stored": SIDE}
    params |= {"active": ["smoke"], "variants": {"smoke": params["variants"]["smoke"] | {"data": data}}}
    params["variants"]["smoke"]["evaluation"]["validation_samples"] = 0
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    save_config(resolve(load_params(folder / "params.yaml"), "smoke"), folder / "reports/smoke/config.yaml")
    return folder


def start(folder: Path, workers: int = 2) -> subprocess.Popen[str]:
    line = [sys.executable, str(ROOT / "stages/prepare_data.py"), "-cd", "reports/smoke"]
    here = environment(SIDETRIP_WORKERS=str(workers), PYTHONPATH=str(ROOT / "src"))
    return subprocess.Popen(line, cwd=folder, env=here, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def finished(folder: Path) -> dict[str, int]:
    """Shards of units that are finished, with their inodes."""
    units = (folder / "scratch/smoke/prepare_data").glob(f"*/unit_*/{SUMS}")
    return {path.name: path.stat().st_ino for unit in units for path in unit.parent.glob("train/*")}


def test_a_stage_that_is_killed_goes_on_from_the_shards_it_has(repository, pictures, tmp_path_factory):
    stage = start(repository)
    while len(finished(repository)) < 2:
        assert stage.poll() is None, "the stage was through before it was killed"
        time.sleep(0.005)
    stage.kill()
    stage.wait()
    before = finished(repository)
    assert 2 <= len(before) < TRAIN // folders.PICTURES_A_SHARD

    stage = start(repository)
    _, said = stage.communicate()
    assert stage.returncode == 0, said
    output = repository / "runs/smoke/prepare_data"
    made = {path.name: path.stat().st_ino for path in shard_paths(output, "train")}
    assert len(made) == TRAIN // folders.PICTURES_A_SHARD
    assert {name: made[name] for name in before} == before  # the very files: neither made again nor copied
    assert not list((repository / "scratch/smoke/prepare_data").glob("*/unit_*"))

    other = repository_in(tmp_path_factory.mktemp("undisturbed"), pictures)
    assert start(other, workers=1).wait() == 0
    assert digests(output) == digests(other / "runs/smoke/prepare_data")

    train = load_pictures(output, "train")
    files = sorted((pictures / "train").rglob("*.*"))
    assert train.classes == tuple(CLASSES)
    assert train.labels.tolist() == [CLASSES.index(file.parent.name) for file in files]
    for i in (0, 1, 2, 3, 4, 5, 6, 999, 1000, 5003, 9999):
        assert np.array_equal(train.pictures[i], decode(files[i], SIDE))


def test_a_picture_that_was_changed_is_packed_again(tmp_path, pictures, monkeypatch):
    """A unit is known by its files: only those of the runs that a change touches are new."""
    monkeypatch.setattr(folders, "PICTURES_A_SHARD", 4)
    kinds = write_kinds(tmp_path / "kinds")
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            for kind in kinds:
                (tmp_path / split / name / kind.name).write_bytes(kind.read_bytes())
    data = smoke_config(**{"data.source": "folder", "data.name": "bugs", "data.root": str(tmp_path)}).data

    def names():
        return [part.name for part in find(data)[0]]

    before = names()
    assert len(set(before)) == len(before) == 2 * 4
    assert names() == before
    path = tmp_path / "train" / "ant" / "wide.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    assert [a == b for a, b in zip(names(), before, strict=True)] == [True, False, *[True] * 6]
    (tmp_path / "train" / "bee" / "exact.jpg").unlink()
    assert [a == b for a, b in zip(names(), before, strict=True)] == [True, False, False, False, *[True] * 4]


def test_a_unit_packs_one_run_of_a_split(pictures):
    """So no process holds more pictures at once, whatever the folder holds."""
    data = smoke_config(
        **{"data.source": "folder", "data.name": "kinds", "data.root": str(pictures), "data.stored": SIDE}
    ).data
    parts, _ = find(data)
    assert [len(part) for part in parts] == [folders.PICTURES_A_SHARD] * 10 + [TEST]
    assert sum(part.first for part in parts) == 1


def test_a_shard_is_one_run_of_bytes_a_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    save_shard(Pictures(pixels, np.arange(7), tuple("abcdefg")), shard_path(tmp_path, "train", 0))
    content = shard_path(tmp_path, "train", 0).read_bytes()
    assert content.endswith(pixels.tobytes())


def test_facts_are_those_of_all_shards_together(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (17, 6, 6, 3), dtype=np.uint8) // np.array([1, 2, 7], np.uint8)
    labels = random.integers(0, 3, 17)
    for shard, start in enumerate(range(0, 17, 5)):
        part = slice(start, start + 5)
        save_shard(Pictures(pixels[part], labels[part], tuple("abc")), shard_path(tmp_path, "train", shard))
    save_shard(Pictures(pixels[:4] * 0, labels[:4], tuple("abc")), shard_path(tmp_path, "validation", 0))
    found = gather_facts({split: shard_paths(tmp_path, split) for split in ("train", "validation")})
    full = pixels / 255.0
    assert (found.channels, found.classes) == (3, 3)
    assert (found.train_samples, found.validation_samples) == (17, 4)
    assert found.mean == pytest.approx(list(full.mean(axis=(0, 1, 2))), abs=1e-12)
    assert found.deviation == pytest.approx(list(full.std(axis=(0, 1, 2))), abs=1e-12)
    write_facts(found, tmp_path)
    seal(tmp_path, [tmp_path / "facts.json"])
    assert read_facts(tmp_path) == found


def test_moments_are_exact_for_counts_that_no_double_holds():
    histogram = np.zeros((1, 256), np.int64)
    histogram[0, [0, 255]] = 2**55 + 1, 2**55 + 1
    assert moments(histogram) == ([0.5], [0.5])
