"""A small working place of random pictures, so that training tests take no data from disk."""

import json

import numpy as np
import torch
from omegaconf import OmegaConf

from sidetrip.config import Config, resolve
from sidetrip.data.packed import Pictures, moments, save_pictures
from sidetrip.experiments.bench import Bench


def smoke_config(**changes) -> Config:
    """The smoke variant, with some of its values changed (dotted keys)."""
    params = OmegaConf.load("params.yaml")
    for key, value in changes.items():
        OmegaConf.update(params, f"variants.smoke.{key}", value, force_add=True)
    return resolve(params, "smoke")


def random_pictures(n: int, seed: int, side: int = 14) -> Pictures:
    """Pictures whose class shows in their brightness, so that there is something to learn."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, n)
    pixels = (random.integers(0, 128, (n, 1, side, side)) + 12 * labels[:, None, None, None]).astype(np.uint8)
    return Pictures(torch.from_numpy(pixels), torch.from_numpy(labels), tuple("abcdefghij"))


def random_bench(folder, config: Config) -> Bench:
    """A bench on packed random pictures in `folder`."""
    train, validation = random_pictures(600, 0), random_pictures(130, 1)
    save_pictures(train, folder / "train.safetensors")
    save_pictures(validation, folder / "validation.safetensors")
    mean, deviation = moments(train)
    facts = {"channels": 1, "classes": 10, "mean": mean, "deviation": deviation}
    (folder / "facts.json").write_text(json.dumps(facts))
    return Bench(config, folder, torch.device("cpu"))
