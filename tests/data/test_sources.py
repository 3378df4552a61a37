"""Pictures from folders, archives and the embedded sheets; what is refused: test_bad_input."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import FashionMNIST

from sidetrip.config import ConfigError
from sidetrip.config.known import SOURCES
from sidetrip.data import archives, sources
from sidetrip.data.archives import fetch_archives, read_archive
from sidetrip.data.decoding import UnreadableError, decode
from sidetrip.data.packed import Pictures, load_pictures
from sidetrip.data.sources import FASHION_MNIST, downloaded, embedded, find
from sidetrip.files import sealing


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two splits, two classes, three PNG pictures of 8 × 8 in each."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            for i in range(3):
                write(tmp_path / split / name / f"{i}.png", random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return tmp_path


def config(tree, **changes):
    values = {"data.source": "folder", "data.name": "bugs", "data.root": str(tree), "data.size": 8, "data.shift": 1}
    return smoke_config(**(values | changes))


def load_source(config):
    """Both splits, packed and read again."""
    with tempfile.TemporaryDirectory() as folder:
        with sealing(Path(folder) / "packed") as packed:
            for part in find(config.data)[0]:
                assert part.pack(config.data, packed, lambda pictures: None) == []
        return tuple(load_pictures(Path(folder) / "packed", split) for split in ("train", "validation"))


def test_folder_keeps_pixels_and_numbers_classes_alphabetically(tree):
    train, validation = load_source(config(tree))
    assert train.classes == validation.classes == ("ant", "bee")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(tree / "train" / "bee" / "1.png"))
    assert np.array_equal(train.pictures[4], pixels)


def test_folder_halves_by_block_means(tree):
    train, _ = load_source(config(tree, **{"data.size": 4}))
    pixels = np.asarray(Image.open(tree / "train" / "ant" / "0.png")).astype(float)
    means = pixels.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(train.pictures[0] - means).max() <= 1.0


def test_folder_takes_the_central_square_of_any_shape_and_kind(tree):
    wide = np.zeros((8, 20), dtype=np.uint8)
    wide[:, 6:14] = 200
    write(tree / "train" / "ant" / "wide.JPEG", wide)
    train, _ = load_source(config(tree))
    assert train.pictures.shape == (7, 8, 8, 3)
    assert train.pictures[3].mean() > 190


def one(tree, **changes):
    """The first training picture [size, size, 3]."""
    train, _ = load_source(config(tree, **changes))
    return train.pictures[0]


def test_a_picture_is_turned_as_its_exif_orientation_says(tree):
    upright = np.zeros((8, 8, 3), dtype=np.uint8)
    upright[:4] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned a quarter to the left: turn it right to show it
    Image.fromarray(np.rot90(upright).copy()).save(tree / "train" / "ant" / "0.jpg", exif=exif, quality=100)
    (tree / "train" / "ant" / "0.png").unlink()
    shown = one(tree).mean(axis=2)
    assert shown[:3].min() > 200
    assert shown[5:].max() < 50


def test_sixteen_bits_are_reduced_to_the_upper_eight(tree):
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024 + 7
    write(tree / "train" / "ant" / "0.png", levels)
    assert Image.open(tree / "train" / "ant" / "0.png").mode.startswith("I")
    assert np.array_equal(one(tree), np.repeat((levels >> 8)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_black(tree, mode):
    pixels = np.full((8, 8, 4), 200, dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:, 4:, 3] = 0
    picture = Image.fromarray(pixels)
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(tree / "train" / "ant" / "0.png")
    shown = one(tree)
    assert np.all(shown[:, :4] == 200)
    assert np.all(shown[:, 4:] == 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_kinds_are_shown_in_rgb(tree, mode):
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    picture = Image.fromarray(pixels).convert(mode)
    (tree / "train" / "ant" / "0.png").unlink()
    picture.save(tree / "train" / "ant" / ("0.jpg" if mode == "CMYK" else "0.png"))
    assert np.abs(one(tree).astype(int) - pixels).max() <= (8 if mode == "CMYK" else 0)


def test_hidden_files_and_folders_are_left_out(tree):
    (tree / "train" / ".ipynb_checkpoints").mkdir()
    (tree / "train" / "ant" / "._0.png").write_bytes(b"what another system leaves behind")
    (tree / "train" / "ant" / ".hidden").mkdir()
    (tree / "train" / "ant" / ".hidden" / "0.png").write_bytes(b"likewise")
    (tree / "train" / "ant" / "notes.txt").write_text("no picture", encoding="utf-8")
    train, _ = load_source(config(tree))
    assert (len(train), train.classes) == (6, ("ant", "bee"))


@pytest.mark.parametrize("end", [0.5, 0.9])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_file_cannot_be_read(tmp_path, suffix, end):
    path = tmp_path / f"whole{suffix}"
    write(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert decode(path, 8) is not None
    path.write_bytes(path.read_bytes()[: int(end * path.stat().st_size)])
    with pytest.raises(UnreadableError, match="damaged: image file is truncated"):
        decode(path, 8)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xe0"]))
def test_bytes_that_are_no_picture_never_raise(content, head):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        path.write_bytes(head + content)
        with pytest.raises(UnreadableError):
            decode(path, 8)


def test_embedded_holds_all_of_fashion_mnist():
    for split, n in (("train", 60_000), ("validation", 10_000)):
        pictures = embedded(smoke_config().data, split)
        assert pictures.pictures.shape == (n, 14, 14, 1)
        assert pictures.pictures.dtype == np.uint8
        assert np.bincount(pictures.labels).tolist() == [n // 10] * 10


def gzipped_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + values.tobytes()))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_fashion_mnist_is_read_from_its_archives(tmp_path, monkeypatch):
    random, raw = np.random.default_rng(0), tmp_path / "FashionMNIST" / "raw"
    pixels, labels = random.integers(0, 256, (5, 28, 28), dtype=np.uint8), np.array([9, 0, 3, 1, 4], np.uint8)
    gzipped_idx(raw / "t10k-images-idx3-ubyte.gz", pixels)
    gzipped_idx(raw / "t10k-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(FashionMNIST, "resources", [(path.name, md5(path)) for path in raw.iterdir()])
    read = read_archive("fashion_mnist", "validation", tmp_path)
    assert np.array_equal(read.pictures[..., 0], pixels)
    assert read.labels.tolist() == labels.tolist()
    assert read.classes == tuple(FashionMNIST.classes) == FASHION_MNIST


@pytest.mark.parametrize(("name", "label_bytes"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_is_read_from_its_binary_archive(tmp_path, monkeypatch, name, label_bytes):
    """Records as their authors describe them: the class after any coarser label, then red, green, blue by rows."""
    random, parts, known = np.random.default_rng(0), {}, archives.CIFAR[name]
    for part in (*known.train, *known.validation):
        records = random.integers(0, 256, (3, label_bytes + 3072), dtype=np.uint8)
        records[:, :label_bytes] %= 2
        parts[part] = records
    path = tmp_path / known.url.rpartition("/")[2]
    with tarfile.open(path, "w:gz") as archive:
        for member, content in [(known.classes, b"cat\ndog\n\n"), *((k, v.tobytes()) for k, v in parts.items())]:
            entry = tarfile.TarInfo(f"{known.folder}/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setitem(archives.CIFAR, name, dataclasses.replace(known, md5=md5(path)))

    fetch_archives(name, tmp_path)
    train = read_archive(name, "train", tmp_path)
    assert train.classes == ("cat", "dog")
    assert len(train) == 3 * len(known.train)
    for i, part in enumerate(known.train):
        for j, record in enumerate(parts[part]):
            k = 3 * i + j
            assert int(train.labels[k]) == record[label_bytes - 1]
            assert np.array_equal(train.pictures[k, 5, :, 2], record[label_bytes + 2048 + 160 :][:32])
            assert np.array_equal(train.pictures[k].transpose(2, 0, 1).ravel(), record[label_bytes:])
    assert np.array_equal(
        read_archive(name, "validation", tmp_path).labels, parts[known.validation[0]][:, label_bytes - 1]
    )


def test_a_downloaded_dataset_is_scaled(tmp_path, monkeypatch):
    pictures = Pictures(np.full((3, 28, 28, 1), 77, dtype=np.uint8), np.zeros(3, dtype=np.int64), ("a", "b"))
    monkeypatch.setattr(archives, "read_archive", lambda name, split, root: pictures)
    settings = smoke_config(**{"data.source": "torchvision", "data.root": str(tmp_path), "data.stored": 16}).data
    assert np.array_equal(downloaded(settings, "train").pictures, np.full((3, 16, 16, 1), 77))


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_a_case_of_its_own(source, tmp_path, monkeypatch):
    """One without a case would be taken for a folder of picture files."""
    walked = []

    def walk(data):
        walked.append(data)
        return []

    monkeypatch.setattr(sources, "find_splits", walk)
    monkeypatch.setattr(archives, "fetch_archives", lambda name, root: None)
    with contextlib.suppress(ConfigError):  # the files are not there
        find(dataclasses.replace(smoke_config().data, source=source, root=str(tmp_path)))
    assert bool(walked) == (source == "folder")
