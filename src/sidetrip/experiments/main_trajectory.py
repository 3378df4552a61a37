"""Burn-in and branching: the main trajectory, its snapshots and its branch points."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from sidetrip.experiments.bench import Bench
from sidetrip.files import check, is_whole, read_table, sealing, write_table
from sidetrip.runtime.executor import Workplace, report_progress
from sidetrip.state import TrainState, initial_state, load_state, save_state, saved_steps, state_path
from sidetrip.training import Position, advance

SECONDS_BETWEEN_SAVES = 15.0  # about the most work that a kill can cost


class Journal:
    """Observer that keeps a run on disk as it goes, so that after a kill it goes on from there.

    Each step saved is a sealed folder of the state and of the batch losses since the last snapshot. A step
    saved only because time has passed is dropped when the next is saved.

    Parameters
    ----------
    folder : Path
        What a killed run has left there is taken up.
    snapshots : sequence of int
        Steps to keep, ascending.
    """

    def __init__(self, folder: Path, snapshots: Sequence[int]) -> None:
        self._folder, self._snapshots = folder, snapshots
        self._kept = list(takewhile(lambda step: is_whole(self._place(step)), snapshots))
        self._between = max(self._saved_since_last_snapshot(), default=None)
        self._losses = [] if self._between is None else self._read_losses(self._between)
        self._unread: list[tuple[int, Tensor]] = []  # still on the device, which is not waited for at every step
        self._saved_at = time.monotonic()

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
        if position.step in self._snapshots or time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES:
            self._save(position)

    def _save(self, position: Position) -> None:
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

    def finish(self, folder: Path) -> pd.DataFrame:
        """Put the snapshots into `folder` and return step and batch_loss of every step."""
        folder.mkdir(parents=True, exist_ok=True)
        for step in self._snapshots:
            shutil.copyfile(check(self._place(step) / "state.safetensors"), state_path(folder, step))
        losses = [loss for step in self._snapshots for loss in self._read_losses(step)]
        return pd.DataFrame(losses, columns=["step", "batch_loss"])


def burn_in(bench: Bench, seed: int, place: Workplace) -> pd.DataFrame:
    """Train from initialisation to the end and keep a snapshot every so often, in seed_<seed>/.

    Returns
    -------
    DataFrame
        seed, step, rate, batch_loss: one row a step; the loss of the batch before its step.
    """
    every, steps = bench.config.burn_in.snapshot_every, bench.config.burn_in.steps
    journal = Journal(place.progress, sorted({*range(0, steps, every), steps}))
    model = bench.model(seed)
    start = journal.latest() or initial_state(model)
    report_progress(start.step)

    def tick(position: Position) -> None:
        if position.batch_loss is not None:
            report_progress()

    rates = bench.rates[start.step :].tolist()
    advance(model, start, bench.stream(seed), rates, bench.optimizer, [journal, tick] if place.kept else [])
    if not place.kept:
        return pd.DataFrame()
    losses = journal.finish(place.result / f"seed_{seed}")
    return losses.assign(seed=seed, rate=bench.rates)[["seed", "step", "rate", "batch_loss"]]


def replay(bench: Bench, seed: int, snapshots: Path, points: Iterable[int]) -> Iterable[TrainState]:
    """Yield the state at each of `points`, bit for bit that of the main trajectory.

    Each is replayed from the nearest snapshot before it.
    """
    model, saved = bench.model(seed), saved_steps(snapshots)
    for point in points:
        start = load_state(state_path(snapshots, max(step for step in saved if step <= point)), bench.device)
        rates = bench.rates[start.step : point].tolist()
        yield advance(model, start, bench.stream(seed), rates, bench.optimizer)
