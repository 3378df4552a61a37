"""Distances in weight space between trips on different batches (Fig. 6, 8).

The midpoint and the trip at half the rate, which Fig. 6 shows beside them, are a case of the averaging
comparison: its two-point average and its trip.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pandas as pd

from sidetrip.experiments.bench import Bench
from sidetrip.experiments.main_trajectory import replay
from sidetrip.runtime.executor import report_progress
from sidetrip.state import TrainState, distance, load_state, saved_steps, state_path
from sidetrip.training import DivergedError, Position, advance


def independent_trip(bench: Bench, start: TrainState, seed: int, looks: list[int]) -> dict[int, TrainState]:
    """States of a trip at the main trajectory's rate on a batch sequence of its own, by steps after the branch point.

    A trip that diverges keeps fewer.
    """
    kept: dict[int, TrainState] = {}

    def keep(position: Position) -> None:
        if position.step - start.step in looks:
            kept[position.step - start.step] = position.state()
        if position.batch_loss is not None:
            report_progress()

    rates = bench.rates[start.step : start.step + looks[-1]].tolist()
    with suppress(DivergedError):
        advance(bench.model(), start, bench.stream(seed, f"independent/{start.step}"), rates, bench.optimizer, [keep])
    return kept


def divergence(bench: Bench, start: TrainState, seed: int, snapshots: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure one branch point.

    Two trips leave it at the same rate: one goes on along the main trajectory, whose states are there, the
    other takes another batch sequence. They are looked at where the two-point averages end.

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
        seed, branch, trip_step, trip_to_start, trip_to_independent: Euclidean, over the weights; the latter
        is empty where the independent trip has diverged.
    to_independent_end : DataFrame
        seed, branch, step, distance: of each snapshot θ_t to the end of the independent trip.
    """
    looks = [0, *bench.config.side_trips.two_point_windows]
    independent = independent_trip(bench, start, seed, looks)
    distances = []
    for look, state in zip(looks, replay(bench, seed, snapshots, [start.step + look for look in looks]), strict=True):
        apart = distance(state, independent[look]) if look in independent else math.nan
        distances.append((seed, start.step, look, distance(state, start), apart))
    end = independent.get(looks[-1])
    along = []
    if end is not None:
        for step in saved_steps(snapshots):
            snapshot = load_state(state_path(snapshots, step), bench.device)
            along.append((seed, start.step, step, distance(snapshot, end)))
    return (
        pd.DataFrame(distances, columns=["seed", "branch", "trip_step", "trip_to_start", "trip_to_independent"]),
        pd.DataFrame(along, columns=["seed", "branch", "step", "distance"]),
    )
