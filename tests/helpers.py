"""A small working place of random pictures, so that training tests take no data from disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from sidetrip.config import Config, resolve
from sidetrip.data.packed import SPLITS, Pictures, facts, save_shard, shard_path, shard_paths
from sidetrip.engine.lab import Lab
from sidetrip.experiments.main_trajectory import burn_in
from sidetrip.files import sealing, write_json
from sidetrip.runtime.executor import Workplace


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
    pixels = (random.integers(0, 128, (n, side, side, 1)) + 12 * labels[:, None, None, None]).astype(np.uint8)
    return Pictures(pixels, labels, tuple("abcdefghij"))


def pack(folder: Path, train: Pictures, validation: Pictures, shard: int = 10**6) -> Path:
    """The output that prepare_data would have made of pictures, in shards of so many."""
    with sealing(folder) as packed:
        for split, pictures in zip(SPLITS, (train, validation), strict=True):
            for number, start in enumerate(range(0, len(pictures), shard)):
                part = slice(start, start + shard)
                piece = Pictures(pictures.pictures[part], pictures.labels[part], pictures.classes)
                save_shard(piece, shard_path(packed, split, number))
        write_json(packed / "facts.json", facts({split: shard_paths(packed, split) for split in SPLITS}))
    return folder


def random_lab(folder, config: Config, device: str | torch.device = "cpu") -> Lab:
    """A lab on packed random pictures in `folder`."""
    packed = pack(folder / "packed", random_pictures(600, 0), random_pictures(130, 1))
    return Lab(config, packed, torch.device(device))


def burnt_in(lab: Lab, folder: Path, seed: int = 0) -> Path:
    """Folder of the snapshots of a main trajectory, sealed as a stage would."""
    with sealing(folder / "result") as result:
        burn_in(lab, seed, Workplace(result, folder / "progress"))
    return folder / "result" / f"seed_{seed}"


def line_table(curve, steps=9):
    """Both batches the same: start loss 1 at both ends, `curve` after the last step."""
    alphas = np.linspace(0, 1, len(curve))
    rows = []
    for seed, branch in ((0, 20), (0, 30), (1, 20)):
        for batch in ("own", "held_out"):
            for step in range(steps + 1):
                losses = curve if step == steps else np.full(len(curve), 1.0 if step < 3 else 0.05)
                rows += [(seed, branch, step, a, batch, x) for a, x in zip(alphas, losses, strict=True)]
    return pd.DataFrame(rows, columns=["seed", "branch", "steps", "alpha", "batch", "loss"])


def along_table(norms, cosines):
    rows = [
        (seed, branch, trip, 5 * i, c, 0.1, n, 1.0, 1.0, 1.0, False)
        for seed, branch in ((0, 20), (0, 30), (1, 20))
        for trip in ("constant", "linear")
        for i, (n, c) in enumerate(zip(norms, cosines, strict=True))
    ]
    measured = [
        "fixed_cosine",
        "different_batches_cosine",
        "fixed_norm",
        "training_norm",
        "fixed_loss",
        "training_loss",
    ]
    return pd.DataFrame(rows, columns=["seed", "branch", "trip", "trip_step", *measured, "diverged"])


def divergence_tables() -> dict[str, pd.DataFrame]:
    """Three pairs whose midpoint stays near the λ/2 trip, and whose distances fall and then stay."""
    apart, distances, along = [], [], []
    for seed, branch in ((0, 20), (0, 30), (1, 20)):
        for step in (0, 5, 10):
            apart.append((seed, branch, step, 0.2 * step, 0.3 * step))
            if step:
                distances.append((seed, branch, "two_point", step, 0.2 * step, 0.1 * step, 0.1 * step))
        along += [(seed, branch, step, 10.0 - 0.1 * min(step, branch)) for step in range(0, 41, 5)]
    pair, to = ["seed", "branch"], ["average_to_trip", "average_to_start", "trip_to_start"]
    return {
        "distances": pd.DataFrame(distances, columns=[*pair, "kernel", "window_steps", *to]),
        "trip_distances": pd.DataFrame(apart, columns=[*pair, "trip_step", "trip_to_start", "trip_to_independent"]),
        "to_independent_end": pd.DataFrame(along, columns=[*pair, "step", "distance"]),
    }
