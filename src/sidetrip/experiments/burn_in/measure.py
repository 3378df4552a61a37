"""The burn-in: the main trajectory, trained from initialisation, and its snapshots."""

import shutil
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sidetrip.checks.fitness import check_model
from sidetrip.checks.operations import check_operations
from sidetrip.config import ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, initial_state, load_state, save_state, state_path
from sidetrip.engine.training import DivergedError, Position, advance
from sidetrip.experiments.units import Run
from sidetrip.experiments.work import each_step, training
from sidetrip.files import check, is_whole, sealing
from sidetrip.tables import read_table, write_table

SECONDS_BETWEEN_SAVES = 15.0  # at least, and
SHARE_OF_SAVES = 0.02  # at most this share of the time goes into saves; so much work can a kill cost


class Journal:
    """Observer that keeps a run on disk as it goes, so that after a kill it goes on from there.

    Each step saved is a sealed folder of the state and of the batch losses since the last snapshot. A step
    saved only because time has passed is dropped when the next is saved; the `snapshots`, ascending, are kept. What a
    killed run has left in the folder is taken up.
    """

    def __init__(self, folder: Path, snapshots: Sequence[int]) -> None:
        self._folder, self._snapshots = folder, snapshots
        self._kept = list(takewhile(lambda step: is_whole(self._place(step)), snapshots))
        self._between = max(self._saved_since_last_snapshot(), default=None)
        self._losses = [] if self._between is None else self._read_losses(self._between)
        self._unread: list[tuple[int, Tensor]] = []  # still on the device, which is not waited for at every step
        self._saved_at, self._pause = time.monotonic(), SECONDS_BETWEEN_SAVES

    def _place(self, step: int) -> Path:
        return self._folder / f"at_{step:09d}"

    def _saved_since_last_snapshot(self) -> list[int]:
        steps = [int(path.name.removeprefix("at_")) for path in self._folder.glob("at_*")]
        last = self._kept[-1] if self._kept else -1
        upcoming = self._snapshots[len(self._kept) :][:1]
        return [step for step in steps if last < step < min(upcoming, default=0) and is_whole(self._place(step))]

    def _read_losses(self, step: int) -> list[tuple[int, float]]:
        table = read_table(self._place(step) / "losses.csv")
        return list(zip(table["step"].tolist(), table["batch_loss"].tolist(), strict=True))

    def latest(self) -> TrainState | None:
        """The state to go on from, if there is one."""
        saved = [*self._kept, *([] if self._between is None else [self._between])]
        return load_state(self._place(saved[-1]) / "state.safetensors") if saved else None

    def __call__(self, position: Position) -> None:
        """Take in a step, and save it if it is a snapshot or the last one saved is old."""
        if position.batch_loss is not None:
            self._unread.append((position.step, position.batch_loss))
        elif self._kept:
            return  # where the run was taken up
        if position.step in self._snapshots or time.monotonic() - self._saved_at > self._pause:
            self._save(position)

    def _save(self, position: Position) -> None:
        began = time.monotonic()
        steps, losses = [step for step, _ in self._unread], [loss for _, loss in self._unread]
        self._losses += zip(steps, torch.stack(losses).tolist() if losses else [], strict=True)
        self._unread = []
        with sealing(self._place(position.step)) as folder:
            save_state(position.state(), folder / "state.safetensors")
            write_table(pd.DataFrame(self._losses, columns=["step", "batch_loss"]), folder / "losses.csv")
        if self._between is not None:
            shutil.rmtree(self._place(self._between))
        self._between = None if position.step in self._snapshots else position.step
        if self._between is None:
            self._kept.append(position.step)
            self._losses = []
        self._saved_at = time.monotonic()
        self._pause = max(SECONDS_BETWEEN_SAVES, (self._saved_at - began) / SHARE_OF_SAVES)

    def finish(self, folder: Path) -> pd.DataFrame:
        """Put the snapshots into `folder` and return step and batch_loss of every step."""
        folder.mkdir(parents=True, exist_ok=True)
        for step in self._snapshots:
            shutil.copyfile(check(self._place(step) / "state.safetensors"), state_path(folder, step))
        losses = [loss for step in self._snapshots for loss in self._read_losses(step)]
        return pd.DataFrame(losses, columns=["step", "batch_loss"])


def check_network(lab: Lab) -> None:
    """Refuse a network that these data or this device cannot take through all that the experiments ask of it."""
    check_model(lab.config, lab.facts.channels, lab.facts.classes, lab.device)
    pictures = min(lab.config.single_step.chunk, lab.config.burn_in.batch_size, len(lab.train))
    batch = Batch(*lab.train.batch(np.arange(pictures)))
    check_operations(lab.model().train(), batch, lab.optimizer.precision, lab.config.model.name)


def measure(lab: Lab, run: Run) -> dict[str, pd.DataFrame]:
    """Train from initialisation to the end and keep a snapshot every so often, in seed_<seed>/.

    Returns
    -------
    batch_losses : DataFrame
        seed, step, rate, batch_loss: one row per step; the loss of the batch before its step.

    Raises
    ------
    ConfigError
        If the data or the device cannot go through the network, or the loss stops being finite.
    """
    every, steps = lab.config.burn_in.snapshot_every, lab.config.burn_in.steps
    journal = Journal(lab.folders.progress, sorted({*range(0, steps, every), steps}))
    check_network(lab)
    model = lab.model(run.seed)
    start = journal.latest() or initial_state(model)
    lab.progress(training(lab.config, start.step).passes)
    rates = lab.rates[start.step :].tolist()
    try:
        advance(model, start, lab.stream(run.seed), rates, lab.optimizer, [journal, each_step(lab)])
    except DivergedError as error:
        raise ConfigError(f"burn_in.rate = {lab.config.burn_in.rate:g}: seed {run.seed}: {error}") from error
    losses = journal.finish(lab.folders.result / f"seed_{run.seed}")
    table = losses.assign(seed=run.seed, rate=lab.rates)[["seed", "step", "rate", "batch_loss"]]
    return {"batch_losses": table}
