"""A small working place of random pictures, so that training tests take no data from disk."""

import json
import os
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sidetrip.config import Config, resolve
from sidetrip.data.packed import SPLITS, Facts, Pictures, gather_facts, save_shard, shard_path, write_facts
from sidetrip.data.text import save_tokens, tokens_path
from sidetrip.engine.lab import Lab
from sidetrip.engine.models import network
from sidetrip.engine.state import TrainState
from sidetrip.engine.training import advance
from sidetrip.experiments.fixed_batch.plan import FixedBatch
from sidetrip.experiments.units import BranchPoint, Run
from sidetrip.files import UnitFolders, sealing
from sidetrip.runtime.experiment import measure_in

STEPPING = ("single_step", "fixed_batch", "side_trips", "divergence", "alignment")  # experiments, all kinds of steps


def smoke_config(**changes) -> Config:
    """The smoke variant, with some of its values changed (dotted keys)."""
    here = tuple(item for item in os.environ.items() if item[0].startswith("SIDETRIP_"))
    return deepcopy(_smoke_config(json.dumps(changes), here))


# Tests ask a thousand times for some hundred configurations, and each takes tenths of a second.
@cache
def _smoke_config(changes: str, environment: tuple[tuple[str, str], ...]) -> Config:
    params = _smoke_params().copy()
    for key, value in json.loads(changes).items():
        OmegaConf.update(params, f"variants.smoke.{key}", value, force_add=True)
    return resolve(params, "smoke")


@cache
def _smoke_params() -> DictConfig:
    """Of params.yaml what the smoke variant needs."""
    whole = OmegaConf.load(Path(__file__).parents[1] / "params.yaml")
    smoke = {"smoke": whole.variants.smoke}
    return OmegaConf.create({"active": ["smoke"], "runtime": whole.runtime, "base": whole.base, "variants": smoke})


def small_network(name: str, channels=1, classes=10, seed=0, context=8, **model) -> nn.Module:
    """A network by its name, narrow where it can be."""
    config = smoke_config()
    settings = replace(config.model, name=name, **{"width": 3, **model})
    return network(replace(config, model=settings, data=replace(config.data, context=context)), channels, classes, seed)


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
        write_facts(gather_facts([packed]), packed)
    return folder


def random_lab(runs: Path, config: Config, device: str | torch.device = "cpu") -> Lab:
    """A lab on packed random pictures."""
    pack(runs / "prepare_data", random_pictures(600, 0), random_pictures(130, 1))
    return Lab(config, runs, torch.device(device))


def text_config(**changes) -> Config:
    """The smoke variant with a decoder of two layers on windows of 8 tokens."""
    config = smoke_config(**changes)
    model = replace(config.model, name="decoder", width=8, layers=2, heads=2)
    return replace(config, model=model, data=replace(config.data, source="text", context=8))


def random_text(n: int, seed: int, vocabulary: int = 11) -> np.ndarray:
    """Tokens of which each is near the one before, so that there is something to learn."""
    steps = np.random.default_rng(seed).integers(1, 4, n)
    return (steps.cumsum() % vocabulary).astype(np.uint16)


def text_lab(runs: Path, config: Config, device: str | torch.device = "cpu") -> Lab:
    """A lab on a packed random text."""
    with sealing(runs / "prepare_data") as packed:
        texts = {split: random_text(n, seed) for seed, (split, n) in enumerate(zip(SPLITS, (4900, 1700), strict=True))}
        for split, text in texts.items():
            tokens_path(packed, split).parent.mkdir()
            save_tokens(text, tuple("abcdefghijk"), tokens_path(packed, split))
        write_facts(Facts(0, 11, 4900, 1700, [], [], "text", 11), packed)
    return Lab(config, runs, torch.device(device))


def burnt_in(lab: Lab, seed: int = 0) -> Path:
    """Run the burn-in of one seed; the folder of its snapshots, sealed as a stage would."""
    return _states(lab, "burn_in", seed)


def branched_off(lab: Lab, seed: int = 0) -> Path:
    """Replay the branch points of one seed; their folder."""
    return _states(lab, "branch", seed)


def _states(lab: Lab, stage: str, seed: int) -> Path:
    with sealing(lab.runs / stage) as result:
        measure_in(lab, stage, Run(seed), UnitFolders(result, lab.runs / f"{stage}.progress"))
    return lab.runs / stage / f"seed_{seed}"


def measured(lab: Lab, experiment: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Tables of an experiment's unit at step 20 of a run of the smoke variant."""
    units = {"fixed_batch": FixedBatch(seed, 20, seed, 30, 0), "forecast": Run(seed)}
    folders = UnitFolders(lab.runs / "result", lab.runs / "progress")
    return dict(measure_in(lab, experiment, units.get(experiment, BranchPoint(seed, 20)), folders))


def assert_same_bits(a: TrainState, b: TrainState) -> None:
    assert a.step == b.step
    assert a.optimizer.keys() == b.optimizer.keys()
    groups = {"weights": (a.weights, b.weights), "buffers": (a.buffers, b.buffers)}
    for group, (x, y) in (groups | {slot: (a.optimizer[slot], b.optimizer[slot]) for slot in a.optimizer}).items():
        assert x.keys() == y.keys()
        for name in x:
            assert torch.equal(x[name], y[name]), f"{group}/{name}"


def advanced(lab: Lab, start: TrainState, steps: int, observers=(), rates=None, seed: int = 0) -> TrainState:
    """So many steps of the main trajectory, or with other rates."""
    rates = lab.rates[start.step : start.step + steps] if rates is None else rates
    return advance(lab.model(), start, lab.stream(seed), list(rates), lab.optimizer, observers)
