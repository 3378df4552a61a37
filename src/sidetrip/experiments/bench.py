"""What an experiment works with: data, streams, model and evaluator of one configuration on one device."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sidetrip.config import Config
from sidetrip.data.loading import Form, Loader, open_loader
from sidetrip.data.streams import Augmentation, FixedBatches, TrainingStream
from sidetrip.evaluation import Evaluator
from sidetrip.files import read_json
from sidetrip.kernels import Schedule
from sidetrip.models import build_model
from sidetrip.randomness import generator
from sidetrip.training import Optimizer

SPLITS = ("train", "validation")


class Bench:
    """Lazily opened working place of one worker process.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    folder : Path
        Output of prepare_data.
    device : torch.device
        Where to compute.
    """

    def __init__(self, config: Config, folder: Path, device: torch.device) -> None:
        self.config, self.device, self._folder = config, device, folder
        self._facts = read_json(folder / "facts.json")
        self.optimizer = Optimizer(config.burn_in.momentum, config.burn_in.weight_decay, config.model.precision)

    def _loader(self, split: str, shift: int) -> Loader:
        data, facts = self.config.data, self._facts
        form = Form(data.size, facts["mean"], facts["deviation"], shift)
        return open_loader(self._folder, split, facts[f"{split}_samples"], form, self.device, data.crop > 0)

    @cached_property
    def train(self) -> Loader:
        """The training pictures."""
        return self._loader("train", self.config.data.shift)

    def model(self, seed: int = 0) -> nn.Module:
        """A network with weights drawn from `seed`, on the device."""
        settings = self.config.model
        network = build_model(
            settings.name,
            width=settings.width,
            stem=settings.stem,
            channels=self._facts["channels"],
            classes=self._facts["classes"],
            seed=seed,
        )
        network.to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def stream(self, seed: int, name: str = "train", batch_size: int | None = None) -> TrainingStream:
        """A batch sequence over the training pictures; "train" is that of the main trajectory."""
        data = self.config.data
        augmentation = Augmentation(data.shift, data.flip, data.crop)
        return TrainingStream(self.train, seed, name, batch_size or self.config.burn_in.batch_size, augmentation)

    @cached_property
    def rates(self) -> np.ndarray:
        """λ of every step of the main trajectory, shape (steps,)."""
        return self.config.burn_in.rate * main_schedule(self.config).multipliers

    @cached_property
    def evaluate(self) -> Evaluator:
        """Scores weights on fixed parts of both splits."""
        settings, validation = self.config.evaluation, self._loader("validation", 0)
        order = generator("evaluation").permutation(len(self.train))
        scored, recalibration = order[: settings.train_samples], order[::-1][: settings.recalibration_samples]
        splits = {
            "train": FixedBatches(self.train, scored, settings.batch_size),
            "validation": FixedBatches(validation, self._validated(len(validation)), settings.batch_size),
        }
        batches = FixedBatches(self.train, recalibration, settings.batch_size)
        return Evaluator(self.model(), batches, splits, self.config.model.precision)

    def _validated(self, pictures: int) -> np.ndarray:
        samples = self.config.evaluation.validation_samples
        return generator("validation").permutation(pictures)[:samples] if samples else np.arange(pictures)


def main_schedule(config: Config) -> Schedule:
    """Schedule of the main trajectory over its whole length."""
    return getattr(Schedule, config.burn_in.schedule)(config.burn_in.steps)


_bench: Bench | None = None


def open_bench(config: Config, folder: Path, device: torch.device) -> Bench:
    """The bench of this process; opened once, so that units on one worker share the data."""
    global _bench
    if _bench is None or _bench.config != config or _bench.device != device:
        _bench = Bench(config, folder, device)
    return _bench
