"""Distances in weight space between trips on different batches (Fig. 6, 8).

The midpoint and the trip at half the rate, which Fig. 6 shows beside them, are a case of the averaging
comparison: its two-point average and its trip.
"""

from __future__ import annotations

import math
from contextlib import suppress

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, distance, saved_steps
from sidetrip.engine.training import DivergedError, Position, advance


def independent_trip(lab: Lab, start: TrainState, seed: int, looks: list[int]) -> dict[int, TrainState]:
    """States of a trip at the main trajectory's rate on a batch sequence of its own, by steps after the branch point.

    A trip that diverges keeps fewer.
    """
    kept: dict[int, TrainState] = {}

    def keep(position: Position) -> None:
        if position.step - start.step in looks:
            kept[position.step - start.step] = position.state()
        if position.batch_loss is not None:
            lab.report(1)

    rates = lab.rates[start.step : start.step + looks[-1]].tolist()
    with suppress(DivergedError):
        advance(lab.model(), start, lab.stream(seed, f"independent/{start.step}"), rates, lab.optimizer, [keep])
    return kept


def measure(lab: Lab, start: TrainState, seed: int) -> dict[str, pd.DataFrame]:
    """Measure one branch point.

    Two trips leave it at the same rate: one goes on along the main trajectory, whose states are there, the
    other takes another batch sequence. They are looked at where the two-point averages end.

    Parameters
    ----------
    lab : Lab
        Data and settings.
    start : TrainState
        The branch point; not changed.
    seed : int
        Of the run.

    Returns
    -------
    trip_distances : DataFrame
        seed, branch, trip_step, trip_to_start, trip_to_independent: Euclidean, over the weights; the latter
        is empty where the independent trip has diverged.
    to_independent_end : DataFrame
        seed, branch, step, distance: of each snapshot θ_t to the end of the independent trip.
    """
    looks = [0, *lab.config.side_trips.two_point_windows]
    independent = independent_trip(lab, start, seed, looks)
    distances = []
    for look, state in zip(looks, lab.replay(seed, [start.step + look for look in looks]), strict=True):
        apart = distance(state, independent[look]) if look in independent else math.nan
        distances.append((seed, start.step, look, distance(state, start), apart))
    end = independent.get(looks[-1])
    along = []
    if end is not None:
        for step in saved_steps(lab.snapshots(seed)):
            along.append((seed, start.step, step, distance(lab.snapshot(seed, step), end)))
    columns = ["seed", "branch", "trip_step", "trip_to_start", "trip_to_independent"]
    return {
        "trip_distances": pd.DataFrame(distances, columns=columns),
        "to_independent_end": pd.DataFrame(along, columns=["seed", "branch", "step", "distance"]),
    }
