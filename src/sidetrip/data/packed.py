"""Packed pictures: one safetensors file a split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sidetrip.files import check, replacing


@dataclass(frozen=True)
class Pictures:
    """A split: pictures uint8 [n, channels, height, width], labels int64 [n], names of the classes."""

    pictures: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def save_pictures(split: Pictures, path: Path) -> None:
    """Write a split, atomically."""
    with replacing(path) as temporary:
        save_file(
            {"pictures": split.pictures.contiguous(), "labels": split.labels},
            temporary,
            metadata={"classes": json.dumps(split.classes)},
        )


def load_pictures(path: Path, device: torch.device | str = "cpu") -> Pictures:
    """Read a split of a sealed folder; on a CPU the file is mapped, so worker processes share its memory.

    Raises
    ------
    FileError
        If the file is missing or damaged.
    """
    check(path)
    with safe_open(path, framework="pt") as file:
        classes = tuple(json.loads(file.metadata()["classes"]))
    tensors = load_file(path, device=str(device))
    return Pictures(tensors["pictures"], tensors["labels"], classes)


def moments(split: Pictures) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over a split, in units of the full scale (0..1)."""
    levels = torch.arange(256, dtype=torch.float64) / 255.0
    mean, deviation = [], []
    for channel in range(split.pictures.shape[1]):
        share = torch.bincount(split.pictures[:, channel].flatten(), minlength=256).double()
        share /= share.sum()
        centre = float((share * levels).sum())
        mean.append(centre)
        deviation.append(float((share * (levels - centre).square()).sum().sqrt()))
    return mean, deviation
