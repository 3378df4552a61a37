"""Distances in weight space along side trips, and the midpoint against the trip at half the rate (Fig. 6, 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from sidetrip.data.streams import TrainingStream
from sidetrip.experiments.bench import SPLITS, Bench
from sidetrip.kernels import Schedule
from sidetrip.runtime.executor import report_progress
from sidetrip.state import TrainState, distance, lerp, load_state, saved_steps, state_path
from sidetrip.training import DivergedError, Position, advance

States = dict[int, TrainState]

DISTANCES = (
    "trip_to_start",
    "half_rate_to_start",
    "midpoint_to_start",
    "midpoint_to_half_rate",
    "trip_to_independent",
)


def stops(steps: int, every: int) -> list[int]:
    """Steps after the branch point at which a trip is looked at: 0, every so often, and the end."""
    return sorted({*range(0, steps, every), steps})


def states_along(bench: Bench, start: TrainState, stream: TrainingStream, rates: Sequence[float], every: int) -> States:
    """Advance and keep the states at `stops`, by steps after the branch point; a trip that diverges keeps fewer."""
    kept: States = {}
    looked_at = set(stops(len(rates), every))

    def keep(position: Position) -> None:
        if position.step - start.step in looked_at:
            kept[position.step - start.step] = position.state()
        if position.batch_loss is not None:
            report_progress()

    with suppress(DivergedError):  # what is missing from `kept` stands as diverged in every table
        advance(bench.model(), start, stream, rates, bench.optimizer, [keep])
    return kept


def _apart(a: States, b: States, step: int) -> float:
    return distance(a[step], b[step]) if step in a and step in b else math.nan


def divergence(
    bench: Bench, start: TrainState, seed: int, snapshots: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure one branch point.

    Three trips leave it: at the rate λ, at λ/2 on the same batches, and at λ on another batch
    sequence. The midpoint is that of the branch point and the λ trip.

    Parameters
    ----------
    bench : Bench
        Data and settings.
    start : TrainState
        The branch point; not changed.
    seed : int
        Of the run.
    snapshots : Path
        Folder of the states of the main trajectory.

    Returns
    -------
    distances : DataFrame
        seed, branch, trip_step, and the `DISTANCES`: Euclidean, over the weights; empty where a trip has diverged.
    losses : DataFrame
        seed, branch, trip_step, model (trip, midpoint, half_rate), split, loss, accuracy, diverged.
    to_independent_end : DataFrame
        seed, branch, step, distance: of each snapshot θ_t to the end of the independent trip.
    """
    settings = bench.config.divergence
    rates = bench.rates[start.step : start.step + settings.steps]
    half = rates * Schedule.constant(settings.steps, 0.5).multipliers
    trip = states_along(bench, start, bench.stream(seed), rates.tolist(), settings.every)
    half_rate = states_along(bench, start, bench.stream(seed), half.tolist(), settings.every)
    other = bench.stream(seed, f"independent/{start.step}")
    independent = states_along(bench, start, other, rates.tolist(), settings.every)
    midpoint = {step: lerp(start, state, 0.5) for step, state in trip.items()}
    origin = dict.fromkeys(stops(settings.steps, settings.every), start)

    pairs = [(trip, origin), (half_rate, origin), (midpoint, origin), (midpoint, half_rate), (trip, independent)]
    distances = [(seed, start.step, step, *(_apart(a, b, step) for a, b in pairs)) for step in origin]
    losses, at_start = [], dict(bench.evaluate(start.weights))  # where all three are the branch point
    for step in origin:
        for name, states in (("trip", trip), ("midpoint", midpoint), ("half_rate", half_rate)):
            scores = at_start if step == 0 else dict(bench.evaluate(states[step].weights)) if step in states else {}
            for split in SPLITS:
                found = scores.get(split)
                loss, accuracy = (found.loss, found.accuracy) if found else (math.nan, math.nan)
                losses.append((seed, start.step, step, name, split, loss, accuracy, not math.isfinite(loss)))

    end = independent.get(settings.steps)
    along = []
    if end is not None:
        for step in saved_steps(snapshots):
            snapshot = load_state(state_path(snapshots, step), bench.device)
            along.append((seed, start.step, step, distance(snapshot, end)))
    return (
        pd.DataFrame(distances, columns=["seed", "branch", "trip_step", *DISTANCES]),
        pd.DataFrame(losses, columns=["seed", "branch", "trip_step", "model", "split", "loss", "accuracy", "diverged"]),
        pd.DataFrame(along, columns=["seed", "branch", "step", "distance"]),
    )
