"""Distances in weight space between trips, and the losses of midpoint and trip at half the rate (Fig. 6, 8)."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import TrainState, distance, lerp, saved_steps
from sidetrip.engine.training import DivergedError, Position
from sidetrip.experiments import evaluator
from sidetrip.experiments.divergence.plan import DISTANCES, LOSSES, SCORED_ON, TO_END, ToTheEnd, looks
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule

States = Mapping[int, TrainState]  # by steps after the branch point


def states_along(
    lab: Lab, start: TrainState, seed: int, looked_at: Iterable[int], stream: str = "train", factor: float = 1.0
) -> States:
    """States at some steps of a trip at `factor` times the main trajectory's rate; a trip that diverges has fewer."""
    found: dict[int, TrainState] = {}
    steps = set(looked_at)

    def keep(position: Position) -> None:
        if position.step - start.step in steps:
            found[position.step - start.step] = position.state()

    with suppress(DivergedError):
        schedule = Schedule.constant(max(steps), factor)
        lab.take_trip(start, lab.stream(seed, stream), schedule, [keep, each_step(lab)])
    return found


def independent(start: TrainState) -> str:
    """Name of the batch sequence of an independent trip."""
    return f"independent/{start.step}"


def measure(lab: Lab, unit: BranchPoint | ToTheEnd) -> dict[str, pd.DataFrame]:
    """Measure near one branch point, or along an independent trip from an early one to the end of the run.

    Returns
    -------
    trip_distances : DataFrame
        Near a branch point: seed, branch, trip_step, trip_to_start, trip_to_independent (a trip at the same rate on
        other batches), half_rate_to_start, midpoint_to_start, midpoint_to_half_rate: Euclidean, over the weights;
        empty where a trip has diverged. The λ trip is the run itself, the midpoint lies between it and its start.
    trip_losses : DataFrame
        seed, branch, trip_step (0: the branch point, which all three are), model (trip, midpoint, half_rate), loss:
        training split.
    to_independent_end : DataFrame
        seed, branch, step, distance: of each snapshot θ_t from the branch point on to the end of the independent trip;
        no rows if it diverged.
    """
    if isinstance(unit, ToTheEnd):
        return {"to_independent_end": pd.DataFrame(_to_the_end(lab, unit), columns=TO_END)}
    distances, losses = _near(lab, unit)
    return {
        "trip_distances": pd.DataFrame(distances, columns=DISTANCES),
        "trip_losses": pd.DataFrame(losses, columns=LOSSES),
    }


def _to_the_end(lab: Lab, unit: ToTheEnd) -> list[tuple[object, ...]]:
    seed, last = unit.seed, lab.config.burn_in.steps - unit.step
    (start,) = lab.replay(seed, [unit.step], [each_step(lab)])
    end = states_along(lab, start, seed, [last], independent(start)).get(last)
    if end is None:
        return []
    later = [lab.snapshot(seed, step) for step in saved_steps(lab.snapshots(seed)) if step > unit.step]
    return [(seed, unit.step, state.step, distance(state, end)) for state in (start, *later)]


def _near(lab: Lab, unit: BranchPoint) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    seed, start, compared_at = unit.seed, lab.branch_point(unit.seed, unit.step), looks(lab.config)
    run = states_along(lab, start, seed, compared_at)
    other = states_along(lab, start, seed, compared_at, independent(start))
    half = states_along(lab, start, seed, compared_at, factor=0.5)
    before = _loss(lab, start)
    losses: list[tuple[object, ...]] = [
        (seed, unit.step, 0, model, before) for model in ("trip", "midpoint", "half_rate")
    ]
    distances: list[tuple[object, ...]] = []
    for look in compared_at:
        midpoint = lerp(start, run[look], 0.5)
        models = {"trip": run[look], "midpoint": midpoint, "half_rate": half.get(look)}
        losses += [(seed, unit.step, look, model, _loss(lab, state)) for model, state in models.items()]
        pairs = ((run[look], start), (run[look], other.get(look)), (half.get(look), start), (midpoint, start))
        apart = [distance(a, b) if a and b else math.nan for a, b in (*pairs, (midpoint, half.get(look)))]
        distances.append((seed, unit.step, look, *apart))
    return distances, losses


def _loss(lab: Lab, state: TrainState | None) -> float:
    """Training loss; none of a trip that has diverged."""
    if state is None:
        return math.nan
    ((_, score),) = evaluator.scores(lab, state, SCORED_ON)
    return score.loss
