"""Distances in weight space between trips on different batches (Fig. 6, 8).

The midpoint and the trip at half the rate, which Fig. 6 shows beside them, are a case of the averaging
comparison: its two-point average and its trip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, distance, saved_steps
from sidetrip.engine.training import DivergedError, Position, advance
from sidetrip.experiments.divergence.plan import TO_END, TRIP_DISTANCES, looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step


def independent_states(lab: Lab, start: TrainState, seed: int, looked_at: Iterable[int]) -> dict[int, TrainState]:
    """States at some steps of a trip at the main trajectory's rate on other batches, by steps after the branch point.

    A trip that diverges has fewer.
    """
    found: dict[int, TrainState] = {}
    steps = set(looked_at)

    def keep(position: Position) -> None:
        if position.step - start.step in steps:
            found[position.step - start.step] = position.state()

    rates = lab.rates[start.step : start.step + max(steps)].tolist()
    observers = [keep, each_step(lab)]
    with suppress(DivergedError):
        advance(lab.model(), start, lab.stream(seed, f"independent/{start.step}"), rates, lab.optimizer, observers)
    return found


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Measure one branch point.

    A trip leaves it at the rate of the main trajectory and takes another batch sequence, to the end of the run, as the
    paper's independently trained θ'. The two are compared where the two-point averages end.

    Returns
    -------
    trip_distances : DataFrame
        seed, branch, trip_step, trip_to_start, trip_to_independent: Euclidean, over the weights; the latter
        is empty where the independent trip has diverged.
    to_independent_end : DataFrame
        seed, branch, step, distance: of each snapshot θ_t to the end of the independent trip; no rows if it diverged.
    """
    seed, start, compared_at = unit.seed, lab.branch_point(unit.seed, unit.step), looks(lab.config)
    last = lab.config.burn_in.steps - start.step
    independent = independent_states(lab, start, seed, [*compared_at, last])
    distances = []
    replayed = lab.replay(seed, [start.step + look for look in compared_at], [each_step(lab)])
    for look, state in zip(compared_at, replayed, strict=True):
        apart = distance(state, independent[look]) if look in independent else math.nan
        distances.append((seed, start.step, look, distance(state, start), apart))
    along = []
    if last in independent:
        for step in saved_steps(lab.snapshots(seed)):
            along.append((seed, start.step, step, distance(lab.snapshot(seed, step), independent[last])))
    return {
        "trip_distances": pd.DataFrame(distances, columns=TRIP_DISTANCES),
        "to_independent_end": pd.DataFrame(along, columns=TO_END),
    }
