"""Pictures from folders and from the embedded sheets; what cannot be read is named and counted."""

import numpy as np
import pytest
import torch
import torchvision
from helpers import smoke_config
from PIL import Image

from sidetrip.config import ConfigError
from sidetrip.data.sources import downloaded, embedded, load_source


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


def test_folder_keeps_pixels_and_numbers_classes_alphabetically(tree):
    train, validation = load_source(config(tree))
    assert train.classes == validation.classes == ("ant", "bee")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(tree / "train" / "bee" / "1.png"))
    assert np.array_equal(train.pictures[4].permute(1, 2, 0).numpy(), pixels)


def test_folder_halves_by_block_means(tree):
    train, _ = load_source(config(tree, **{"data.size": 4}))
    pixels = np.asarray(Image.open(tree / "train" / "ant" / "0.png")).astype(float)
    means = pixels.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(train.pictures[0].permute(1, 2, 0).numpy() - means).max() <= 1.0


def test_folder_takes_the_central_square_of_any_shape_and_kind(tree):
    wide = np.zeros((8, 20), dtype=np.uint8)
    wide[:, 6:14] = 200
    write(tree / "train" / "ant" / "wide.JPEG", wide)
    train, _ = load_source(config(tree))
    assert train.pictures.shape == (7, 3, 8, 8)
    assert train.pictures[3].float().mean() > 190


def test_unreadable_files_are_named_and_counted(tree):
    for i in range(7):
        (tree / "train" / "bee" / f"broken{i}.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"7 unreadable picture\(s\): .*broken0.jpg.*broken4.jpg and 2 more; mend or"):
        load_source(config(tree))


def test_truncated_file_is_unreadable(tree):
    path = tree / "test" / "ant" / "0.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ConfigError, match=r"1 unreadable picture\(s\): .*0\.png"):
        load_source(config(tree))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: (t / "test").rename(t / "val"), r"no folder .*test; put the pictures into"),
        (lambda t: (t / "train" / "cow").mkdir(), r"cow holds no \.png, \.jpg, \.jpeg file; fill or remove it"),
        (lambda t: (t / "test" / "bee").rename(t / "test" / "fly"), r"the splits' classes differ \(bee, fly\)"),
    ],
)
def test_trees_that_do_not_fit_are_refused(tree, spoil, message):
    spoil(tree)
    with pytest.raises(ConfigError, match=message):
        load_source(config(tree))


def test_embedded_holds_all_of_fashion_mnist():
    for split, n in (("train", 60_000), ("validation", 10_000)):
        pictures = embedded(split)
        assert pictures.pictures.shape == (n, 1, 14, 14)
        assert pictures.pictures.dtype == torch.uint8
        assert torch.bincount(pictures.labels).tolist() == [n // 10] * 10


def test_no_network_says_where_to_put_the_files(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", refuse)
    settings = smoke_config(**{"data.source": "torchvision", "data.root": str(tmp_path), "data.size": 28}).data
    with pytest.raises(ConfigError, match=r"data.name = fashion_mnist: download failed .*FashionMNIST/raw by hand"):
        downloaded(settings, train=True)
