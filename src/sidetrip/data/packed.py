"""Packed pictures: the shards of a split, each a safetensors file. Needs no torch: packing does without.

A shard holds "pictures" uint8 [n, height, width, channels], one picture being one run of bytes; "labels" int64 [n];
"checksums" uint32 [n], the CRC-32 of each picture's bytes and its label's after them, by which a picture that is
read alone is known to be whole; and "histogram" int64 [channels, 256], how many pixels have each grey level.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sidetrip.files import check, read_json, replacing, write_json

SPLITS = ("train", "validation")
NO_DEVIATION = 1.0  # stands for one of 0; none of values from 0 to 1 is above a half
PICTURES_A_SHARD = 1000  # of a folder: what a packing that is killed has to do again, at most, on each worker
LEVELS = 256


@dataclass(frozen=True)
class Pictures:
    """Pictures uint8 [n, height, width, channels], labels int64 [n], names of the classes."""

    pictures: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def shard_path(folder: Path, split: str, shard: int) -> Path:
    """File of a shard in an output folder of prepare_data."""
    return folder / split / f"shard_{shard:05d}.safetensors"


def shard_paths(folder: Path, split: str) -> list[Path]:
    """Files of all shards of a split, in order."""
    return sorted((folder / split).glob("shard_*.safetensors"))


def checksum(picture: np.ndarray, label: np.int64) -> int:
    """CRC-32 of a picture, uint8 and contiguous, and its label."""
    return zlib.crc32(label.tobytes(), zlib.crc32(picture.data))


def save_shard(shard: Pictures, path: Path) -> None:
    """Write a shard, atomically."""
    pictures, labels = np.ascontiguousarray(shard.pictures), shard.labels.astype(np.int64)
    checksums = [checksum(picture, label) for picture, label in zip(pictures, labels, strict=True)]
    tensors = {
        "pictures": pictures,
        "labels": labels,
        "checksums": np.array(checksums, np.uint32),
        "histogram": _histogram(pictures),
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"classes": json.dumps(shard.classes)})


def _histogram(pictures: np.ndarray) -> np.ndarray:
    """How many pixels of each channel have each grey level, int64 [channels, 256]."""
    counts = np.zeros((pictures.shape[3], LEVELS), np.int64)
    for start in range(0, len(pictures), 64):  # bincount takes eight bytes a pixel
        part = pictures[start : start + 64]
        for channel, levels in enumerate(counts):
            levels += np.bincount(part[..., channel].ravel(), minlength=LEVELS)
    return counts


def load_pictures(folder: Path, split: str) -> Pictures:
    """Read a whole split of a sealed folder, checked."""
    shards = [load_file(check(path)) for path in shard_paths(folder, split)]
    return Pictures(
        np.concatenate([shard["pictures"] for shard in shards]),
        np.concatenate([shard["labels"] for shard in shards]),
        classes_of(shard_path(folder, split, 0)),
    )


def classes_of(path: Path) -> tuple[str, ...]:
    """Names of the classes that the labels of a shard number."""
    with safe_open(path, framework="np") as file:
        return tuple(json.loads(file.metadata()["classes"]))


@dataclass(frozen=True)
class Facts:
    """What later stages have to know of packed pictures, or of a packed text."""

    channels: int  # of every picture; 0 for a text
    classes: int  # of the labels; for a text, which token is next: the vocabulary
    train_samples: int  # pictures, or tokens
    validation_samples: int
    # Of each channel over the training pictures, in units of the full scale (0..1); empty for a text. The deviation of
    # a channel that is constant counts as 1, so that it can be divided by; no other reaches more than a half.
    mean: list[float]
    deviation: list[float]
    kind: str = "pictures"  # or "text"
    vocabulary: int = 0  # how many different tokens a text has

    def samples(self, split: str) -> int:
        """Pictures, or tokens, in a split, "train" or "validation"."""
        return {"train": self.train_samples, "validation": self.validation_samples}[split]


def gather_facts(folders: Sequence[Path]) -> Facts:
    """The facts of the shards in all of some folders together."""
    samples = dict.fromkeys(SPLITS, 0)
    histogram: np.ndarray | int = 0
    for split in SPLITS:
        for path in (path for folder in folders for path in shard_paths(folder, split)):
            with safe_open(path, framework="np") as file:
                samples[split] += file.get_slice("labels").get_shape()[0]
                if split == "train":
                    histogram = histogram + file.get_tensor("histogram")
    mean, deviation = moments(np.asarray(histogram))
    deviation = [found or NO_DEVIATION for found in deviation]
    classes = len(classes_of(shard_path(folders[0], "train", 0)))
    return Facts(len(mean), classes, samples["train"], samples["validation"], mean, deviation)


def write_facts(facts: Facts, folder: Path) -> None:
    """Write the facts of a folder of shards."""
    write_json(folder / "facts.json", asdict(facts))


def read_facts(folder: Path) -> Facts:
    """Read the facts of a sealed folder of shards, checked."""
    return Facts(**read_json(folder / "facts.json"))


def moments(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, in units of the full scale, of a histogram [channels, 256]."""
    mean, deviation = [], []
    for counts in histogram.tolist():  # Python's integers: exact up to the one division
        pixels = sum(counts)
        first = sum(level * count for level, count in enumerate(counts))
        second = sum(level**2 * count for level, count in enumerate(counts))
        mean.append(first / ((LEVELS - 1) * pixels))
        deviation.append(math.sqrt((pixels * second - first**2) / ((LEVELS - 1) * pixels) ** 2))
    return mean, deviation
