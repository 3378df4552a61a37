"""What the benchmark works on: a variant's data in a folder of its own, and a branch point."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sidetrip.config import Config, load_params, resolve
from sidetrip.data.packed import SPLITS, Pictures, gather_facts, save_shard, shard_path, write_facts
from sidetrip.data.sources import pack
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.randomness import generator
from sidetrip.engine.state import TrainState, initial_state, save_state, state_path
from sidetrip.engine.training import advance
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import dataset
from sidetrip.files import sealing
from sidetrip.runtime.devices import resolve_device
from sidetrip.runtime.memory import keep_freed_memory


@dataclass(frozen=True)
class Size:
    """How much is measured; shares and ratios hardly depend on it, their noise does."""

    repetitions: int  # rounds of each interleaved measurement
    comparison_repetitions: int  # rounds of the averaging comparison, by far the longest
    steps: int  # training steps a round
    pictures: int = 0  # random ones of each split at most, in the place of the variant's own; 0: its own


SIZES = {"full": Size(9, 2, 40), "smoke": Size(1, 1, 2, 400)}


@dataclass(frozen=True)
class BenchmarkInput:
    """A variant, the folder of its runs, the device, and how much to measure. Goes to worker processes."""

    config: Config
    folder: Path
    device: torch.device
    size: Size

    @cached_property
    def lab(self) -> Lab:
        """Opened in a process that computes as the pipeline's workers do."""
        make_deterministic(self.config.model.precision)
        keep_freed_memory()
        return Lab(self.config, self.folder, self.device)

    @property
    def point(self) -> BranchPoint:
        """The branch point that is measured at: a few steps after initialisation."""
        return BranchPoint(0, self.size.steps)

    @cached_property
    def start(self) -> TrainState:
        """The state there."""
        return self.lab.branch_point(self.point.seed, self.point.step)

    def warm_up(self) -> None:
        """Make the state and the evaluator ready, which are made once."""
        self.start, evaluator(self.lab, SPLITS)


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Command line of `prepared`: names a variant, a device, how much to measure, and of which data."""
    arguments = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    arguments.add_argument("--variant", default="fashion_mnist", help="of params.yaml")
    arguments.add_argument(
        "--size", choices=SIZES, default="full", help="smoke: seconds, on random pictures; its numbers mean nothing"
    )
    arguments.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments.add_argument("--random", action="store_true", help="random pictures of the variant's size and number")
    return arguments


@contextmanager
def prepared(variant: str, device: str, size: str = "full", random: bool = False) -> Iterator[BenchmarkInput]:
    """A variant of params.yaml, for as long as it is measured: its data packed in a folder, and a branch point.

    Or `random` pictures, of which there is no need to have any.
    """
    config = resolve(load_params(Path("params.yaml")), variant)
    with tempfile.TemporaryDirectory() as folder:
        work = BenchmarkInput(config, Path(folder), torch.device(resolve_device(device)), SIZES[size])
        if (random or work.size.pictures) and not config.data.is_text:
            _pack_random(work)
        else:
            with sealing(work.folder / "prepare_data") as packed:
                pack(config.data, packed)
        _branch_off(work)
        yield replace(work)  # its lab is opened in each process that asks for it


def _pack_random(work: BenchmarkInput) -> None:
    known, side = dataset(work.config), work.config.data.packed_side
    classes = tuple(map(str, range(known.classes)))
    with sealing(work.folder / "prepare_data") as packed:
        for split, count in zip(SPLITS, (known.training_pictures, known.validation_pictures), strict=True):
            draw, samples = generator("benchmark", split), min(count, work.size.pictures or count)
            pixels = draw.integers(0, 256, (samples, side, side, known.channels), dtype=np.uint8)
            save_shard(
                Pictures(pixels, draw.integers(0, known.classes, samples), classes), shard_path(packed, split, 0)
            )
        write_facts(gather_facts([packed]), packed)


def _branch_off(work: BenchmarkInput) -> None:
    """Leave the state at the branch point where units look for it."""
    lab, seed, step = work.lab, work.point.seed, work.point.step
    model = lab.model(seed)
    state = advance(model, initial_state(model), lab.stream(seed), lab.rates[:step].tolist(), lab.optimizer)
    with sealing(work.folder / "branch") as result:
        save_state(state, state_path(result / f"seed_{seed}", step))
