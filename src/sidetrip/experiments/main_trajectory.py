"""Burn-in and branching: the main trajectory, its snapshots and its branch points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sidetrip.experiments.bench import Bench
from sidetrip.runtime.executor import report_progress
from sidetrip.state import TrainState, initial_state, load_state, save_state, saved_steps, state_path
from sidetrip.training import Position, advance


def burn_in(bench: Bench, seed: int, folder: Path) -> pd.DataFrame:
    """Train from initialisation to the end and save a snapshot every so often.

    Returns
    -------
    DataFrame
        seed, step, rate, batch_loss: one row a step; the loss of the batch before its step.
    """
    every, steps = bench.config.burn_in.snapshot_every, bench.config.burn_in.steps
    losses: list[float] = []

    def observe(position: Position) -> None:
        if position.step % every == 0 or position.step == steps:
            save_state(position.state(), state_path(folder, position.step))
        if position.loss is not None:
            losses.append(position.loss)
            report_progress()

    model = bench.model(seed)
    advance(model, initial_state(model), bench.stream(seed), bench.rates.tolist(), bench.optimizer, [observe])
    return pd.DataFrame({"seed": seed, "step": range(1, steps + 1), "rate": bench.rates, "batch_loss": losses})


def replay(bench: Bench, seed: int, snapshots: Path, points: Iterable[int]) -> Iterable[TrainState]:
    """Yield the state at each of `points`, bit for bit that of the main trajectory.

    Each is replayed from the nearest snapshot before it.
    """
    model, saved = bench.model(seed), saved_steps(snapshots)
    for point in points:
        start = load_state(state_path(snapshots, max(step for step in saved if step <= point)), bench.device)
        rates = bench.rates[start.step : point].tolist()
        yield advance(model, start, bench.stream(seed), rates, bench.optimizer)
