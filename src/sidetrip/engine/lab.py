"""What an experiment works with: the data, batches, networks and states of one variant on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sidetrip.config import Config
from sidetrip.data.packed import Facts, read_facts
from sidetrip.data.text import read_tokens
from sidetrip.engine.loading import Form, Loader, PictureLoader
from sidetrip.engine.mapped import open_loader
from sidetrip.engine.models import network
from sidetrip.engine.optimizers import optimizer_of
from sidetrip.engine.state import TrainState, load_state, saved_steps, state_path
from sidetrip.engine.streams import PictureStream, TrainingStream
from sidetrip.engine.text import TextLoader, TextStream
from sidetrip.engine.training import Loss, Observer, Stream, advance, batch_loss
from sidetrip.files import UnitFolders
from sidetrip.kernels import Schedule


class Lab:
    """What the units of one worker process share; opened lazily.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    runs : Path
        Holds the output folders of the stages.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    folders : UnitFolders
        Where the unit that is running writes.
    progress : callable
        Tells whoever watches that so much of the unit's work is done.
    """

    folders: UnitFolders
    progress: Callable[[int], None]

    def __init__(self, config: Config, runs: Path, device: torch.device) -> None:
        self.config, self.runs, self.device = config, runs, device
        self.optimizer = optimizer_of(config.burn_in, config.model.precision)
        self.progress = _untold

    @cached_property
    def facts(self) -> Facts:
        """Of the packed data."""
        return read_facts(self.runs / "prepare_data")

    def loader(self, split: str, shift: int = 0) -> Loader:
        """Open the samples of a split; of pictures, windows moved by up to `shift` pixels will be asked for."""
        data = self.config.data
        if self.facts.kind == "text":
            return TextLoader(read_tokens(self.runs / "prepare_data", split), data.context, self.device)
        form = Form(data.size, self.facts.mean, self.facts.deviation, shift)
        return open_loader(
            self.runs / "prepare_data", split, self.facts.samples(split), form, self.device, data.crop > 0
        )

    @cached_property
    def train(self) -> Loader:
        """The training samples."""
        return self.loader("train", self.config.data.shift)

    def model(self, seed: int = 0) -> nn.Module:
        """A network with weights drawn from `seed`, on the device."""
        return network(self.config, self.facts.channels, self.facts.classes, seed).to(self.device)

    def stream(self, seed: int, name: str = "train", batch_size: int | None = None) -> TrainingStream:
        """A batch sequence over the training samples; "train" is that of the main trajectory."""
        data, loader, size = self.config.data, self.train, batch_size or self.config.burn_in.batch_size
        if isinstance(loader, TextLoader):
            return TextStream(loader, seed, name, size)
        assert isinstance(loader, PictureLoader)
        return PictureStream(loader, seed, name, size, data.shift, data.flip, data.crop)

    @cached_property
    def rates(self) -> np.ndarray:
        """λ of every step of the main trajectory, shape (steps,): that of the schedule, after a linear rise to it."""
        settings = self.config.burn_in
        shape: Callable[[int], Schedule] = getattr(Schedule, settings.schedule)
        rates = settings.rate * shape(settings.steps).multipliers
        rates[: settings.warm_up] *= np.arange(1, settings.warm_up + 1) / max(1, settings.warm_up)
        return rates

    def snapshots(self, seed: int) -> Path:
        """Folder of the states of a main trajectory that burn_in kept."""
        return self.runs / "burn_in" / f"seed_{seed}"

    def snapshot(self, seed: int, step: int) -> TrainState:
        """A state that burn_in kept."""
        return load_state(state_path(self.snapshots(seed), step), self.device)

    def branch_point(self, seed: int, step: int) -> TrainState:
        """A state that branch made."""
        return load_state(state_path(self.runs / "branch" / f"seed_{seed}", step), self.device)

    def take_trip(
        self,
        start: TrainState,
        stream: Stream,
        schedule: Schedule,
        observers: Sequence[Observer] = (),
        loss: Loss = batch_loss,
    ) -> TrainState:
        """Go on from a state of the main trajectory, at its rates times the multipliers of a schedule; see `advance`.

        Raises
        ------
        DivergedError
            As `advance`.
        ValueError
            As `advance`, and if the schedule ends beyond the main trajectory.
        """
        rates = self.rates[start.step : start.step + schedule.steps] * schedule.multipliers
        return advance(self.model(), start, stream, rates.tolist(), self.optimizer, observers, loss)

    def replay(self, seed: int, points: Iterable[int], observers: Sequence[Observer] = ()) -> Iterator[TrainState]:
        """Yield the state at each of `points`, bit for bit that of the main trajectory.

        Each is replayed from the nearest state before it: a snapshot, or the point before.
        """
        model, saved = self.model(seed), saved_steps(self.snapshots(seed))
        here: TrainState | None = None
        for point in points:
            nearest = max(step for step in saved if step <= point)
            start = here if here and nearest <= here.step <= point else self.snapshot(seed, nearest)
            rates = self.rates[start.step : point].tolist()
            here = advance(model, start, self.stream(seed), rates, self.optimizer, observers)
            yield here


def _untold(amount: int) -> None:
    """Nobody watches; no lambda, since a lab may go to another process."""


_opened: Lab | None = None


def open_lab(config: Config, runs: Path, device: torch.device) -> Lab:
    """The lab of this process; opened once, so that units on one worker share the data."""
    global _opened
    if _opened is None or (_opened.config, _opened.runs, _opened.device) != (config, runs, device):
        _opened = Lab(config, runs, device)
    return _opened
