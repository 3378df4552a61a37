"""Torchvision's data sets and the embedded sheets; what else is refused: test_bad_input."""

import gzip
import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from helpers import smoke_config
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

from sidetrip.config import ConfigError
from sidetrip.config.known import SOURCES
from sidetrip.data.embedded import CLASSES, fashion_mnist, shakespeare
from sidetrip.data.sources import FINDERS, Named, downloaded, find
from sidetrip.files import seal

ROOT = Path(__file__).parents[2]


def test_embedded_holds_all_of_fashion_mnist():
    for split, n in (("train", 60_000), ("validation", 10_000)):
        pictures = fashion_mnist(smoke_config().data, split)
        assert pictures.pictures.shape == (n, 14, 14, 1)
        assert pictures.pictures.dtype == np.uint8
        assert np.bincount(pictures.labels).tolist() == [n // 10] * 10
    assert tuple(FashionMNIST.classes) == CLASSES


@pytest.mark.parametrize(
    ("read", "file"),
    [
        (lambda: fashion_mnist(smoke_config().data, "train"), "fashion_mnist_14/train_pictures.png"),
        (shakespeare, "shakespeare/shakespeare.txt.xz"),
    ],
)
def test_embedded_files_that_are_missing_or_damaged_are_refused(tmp_path, monkeypatch, read, file):
    monkeypatch.chdir(tmp_path)
    path = Path("datasets") / file
    with pytest.raises(ConfigError, match=f"{path}: missing; restore it with `git checkout {path.parent}`"):
        read()
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / path).read_bytes())
    seal(path.parent, [path])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=f"{path}: damaged; restore"):
        read()


# torchvision


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def torchvision(root: Path, name: str, stored: int):
    return replace(smoke_config().data, source="torchvision", name=name, root=str(root), stored=stored)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """CIFAR-10 in a few pictures of one colour each, whose checksums are taken for the original's."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    parts = {}
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        colours = np.random.default_rng(len(name)).integers(0, 256, (5, 3, 1), dtype=np.uint8)
        batch = {"data": np.repeat(colours, 1024, axis=2).reshape(5, 3072), "labels": [9, 0, 3, 1, 4]}
        content = {"label_names": list("abcdefghij")} if name == "batches.meta" else batch
        (folder / name).write_bytes(pickle.dumps(content))
        parts[name] = colours
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(folder / "data_batch_1")]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(folder / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # where nobody answers
    return parts


@pytest.mark.parametrize("side", [32, 16])
def test_a_data_set_of_torchvision_is_read_and_scaled(tmp_path, cifar, side):
    data = torchvision(tmp_path, "cifar10", side)
    for split, name in (("train", "data_batch_1"), ("validation", "test_batch")):
        pictures = downloaded(data, split)
        assert pictures.pictures.shape == (5, side, side, 3)
        assert np.array_equal(pictures.pictures[:, side - 1, 0], cifar[name][..., 0])
        assert pictures.labels.tolist() == [9, 0, 3, 1, 4]
        assert pictures.classes == tuple("abcdefghij")


def test_files_of_torchvision_that_are_not_the_original_are_not_opened(tmp_path, cifar, monkeypatch):
    monkeypatch.setattr(pickle, "load", lambda *args, **options: pytest.fail("opened"))
    path = tmp_path / CIFAR10.base_folder / "data_batch_1"
    path.write_bytes(path.read_bytes() + b".")
    with pytest.raises(ConfigError, match=r"data.root = .*no whole CIFAR10 .*put"):
        downloaded(torchvision(tmp_path, "cifar10", 32), "train")


@pytest.mark.parametrize(
    ("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100), ("fashion_mnist", FashionMNIST)]
)
def test_what_cannot_be_downloaded_is_one_line_with_the_address(tmp_path, monkeypatch, name, kind):
    def retrieve(url: str, path: Path) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", retrieve)
    with pytest.raises(ConfigError, match=rf"data.root = .*no whole {kind.__name__} .*put .*https?://.* by hand$"):
        downloaded(torchvision(tmp_path, name, 28), "train")


def test_fashion_mnist_has_one_channel(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    for kind, values in (("images-idx3", pixels), ("labels-idx1", np.arange(5, dtype=np.uint8))):
        for split in ("train", "t10k"):
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (raw / f"{split}-{kind}-ubyte").write_bytes(head + values.tobytes())
            (raw / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head))
    pictures = downloaded(torchvision(tmp_path, "fashion_mnist", 28), "validation")
    assert np.array_equal(pictures.pictures[..., 0], pixels)
    assert pictures.labels.tolist() == [0, 1, 2, 3, 4]


def test_every_source_has_a_case_of_its_own():
    assert FINDERS.keys() == SOURCES.keys()
    assert find(torchvision(Path(), "cifar10", 32))[0] == [Named("cifar10", downloaded)]
