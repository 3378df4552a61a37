"""How much a unit of work computes: it orders units, fills the progress bar and plans a variant. Changes no result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sidetrip.config import Config, ConfigError
from sidetrip.config.known import KNOWN_DATASETS, DatasetFacts
from sidetrip.data.packed import SPLITS, read_facts
from sidetrip.data.text import windows
from sidetrip.files import FileError

if TYPE_CHECKING:  # plans do without torch
    from sidetrip.engine.lab import Lab
    from sidetrip.engine.training import Observer, Position

TRAINING = 3  # forward passes that a forward and backward pass take as long as


@dataclass(frozen=True)
class Work:
    """Work of a unit or a stage."""

    trained: int = 0  # samples that go forward and backward through the network
    scored: int = 0  # samples that only go forward

    @property
    def passes(self) -> int:
        """In samples that go forward once."""
        return TRAINING * self.trained + self.scored

    def __add__(self, other: Work) -> Work:
        return Work(self.trained + other.trained, self.scored + other.scored)


def training(config: Config, steps: int) -> Work:
    """Training steps on batches of the run's own size."""
    return Work(trained=steps * config.burn_in.batch_size)


def scoring(config: Config, models: int = 1, splits: tuple[str, ...] = SPLITS) -> Work:
    """Models that are scored on some of the splits, the recalibration of their statistics included."""
    settings = config.evaluation
    samples = {"train": settings.train_samples, "validation": settings.validation_samples}
    if not settings.validation_samples and "validation" in splits:
        samples["validation"] = dataset(config).validation_pictures
    return Work(scored=models * (settings.recalibration_samples + sum(samples[split] for split in splits)))


def each_step(lab: Lab, batches: int = 1) -> Observer:
    """Observer that tells of every training step taken, each on so many batches."""
    amount = training(lab.config, batches).passes

    def tell(position: Position) -> None:
        if position.batch_loss is not None:
            lab.progress(amount)

    return tell


def dataset(config: Config) -> DatasetFacts:
    """What is known of a variant's samples (of a text its windows): by the name of the data, or as they were packed.

    Raises
    ------
    ConfigError
        If neither is so.
    """
    known = KNOWN_DATASETS.get(config.data.name) or _packed(config)
    if not config.data.is_text:
        return known
    samples = [windows(n, config.data.context) for n in (known.training_pictures, known.validation_pictures)]
    return replace(known, training_pictures=samples[0], validation_pictures=samples[1])


def _packed(config: Config) -> DatasetFacts:
    try:
        facts = read_facts(Path("runs") / config.variant / "prepare_data")
    except FileError as error:
        remedy = f"how many samples it has is not known yet; run `dvc repro prepare_data@{config.variant}`"
        raise ConfigError(f"data.name = {config.data.name}: {remedy}") from error
    return DatasetFacts(facts.train_samples, facts.validation_samples, facts.channels, facts.classes)
