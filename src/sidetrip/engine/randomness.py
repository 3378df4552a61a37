"""Randomness without memory: draws that depend on a key alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(*key: object) -> np.random.Generator:
    """Counter-based generator that depends on `key` alone."""
    return np.random.Generator(np.random.Philox(key=_number(key, 16)))


def _number(key: tuple[object, ...], size: int) -> int:
    """Number of so many bytes that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:size], "little")


def torch_generator(device: torch.device, *key: object) -> torch.Generator:
    """Generator of torch, whose draws are made on the device, that depends on `key` alone."""
    import torch  # over a second: planning needs the other generator alone

    return torch.Generator(device).manual_seed(int(generator(*key).integers(2**63)))


@contextmanager
def fixed_randomness(device: torch.device, *key: object) -> Iterator[None]:
    """Context in which what torch itself draws on the CPU and on `device` depends on `key` alone.

    Networks draw from torch's own generators: the masks of dropout and stochastic depth. Where the same network goes
    over the same batch with the same key, so it has the same masks. Afterwards the generators stand where they stood.
    It takes some 15 µs. Never `torch.manual_seed`: that seeds every kind of device and takes ten times as long.

    A CPU's generator keeps 32 bits of the key, so that among 80 000 keys two of one pair share their masks with even
    odds: two steps of different batches, which is no harm.
    """
    import torch

    gpus = [device.index if device.index is not None else torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        seed = _number(key, 8)
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield
