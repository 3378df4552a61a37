"""Randomness without memory: draws that depend on a key alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(*key: object) -> np.random.Generator:
    """Counter-based generator that depends on `key` alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def torch_generator(device: torch.device, *key: object) -> torch.Generator:
    """Generator of torch, whose draws are made on the device, that depends on `key` alone."""
    import torch  # over a second: planning needs the other generator alone

    return torch.Generator(device).manual_seed(int(generator(*key).integers(2**63)))
