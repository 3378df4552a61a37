"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from sidetrip.data.packed import SPLITS
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, distance, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position
from sidetrip.experiments import evaluator
from sidetrip.experiments.side_trips import plan
from sidetrip.experiments.side_trips.plan import Case
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step
from sidetrip.kernels import Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage

Key = tuple[str, int]  # name and window of a case


class Scores:
    """Rows of the table of one branch point."""

    def __init__(self, lab: Lab, seed: int, state: TrainState, branch: int) -> None:
        self.lab, self._seed, self._state, self.branch = lab, seed, state, branch
        self.rows: list[tuple[object, ...]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None, look: int = 0) -> None:
        """Score weights on both splits; None stands for a trip that diverged."""
        scores = dict.fromkeys(SPLITS, (math.nan, math.nan))
        if weights is not None:
            found = evaluator.scores(self.lab, with_weights(self._state, weights))
            scores = {split: (score.loss, score.accuracy) for split, score in found}
        for split, (loss, accuracy) in scores.items():
            key = (self._seed, self.branch, case, window, model, look, split)
            self.rows.append((*key, loss, accuracy, not math.isfinite(loss)))

    def table(self) -> pd.DataFrame:
        """The rows so far."""
        return pd.DataFrame(self.rows, columns=plan.SCORES)


def watched(
    averaged: Iterable[Case], scores: Scores, finished: Callable[[Case, Tensors], None] = lambda case, weights: None
) -> list[Observer]:
    """Observers of the main trajectory from a branch point on: they score averages where they end, and the run itself.

    The scores, of the branch point, take what is found; `finished` is called once an average is scored.
    """
    looked_at = plan.looks(scores.lab.config)
    of_case = {RunningAverage(case.kernel, scores.branch): case for case in averaged}

    def average_ends(position: Position, average: RunningAverage) -> None:
        case, weights = of_case[average], average.weights()
        scores.add(case.name, case.window, "average", weights)
        finished(case, weights)

    def look(position: Position) -> None:
        for each in looked_at:
            if each.step == position.step - scores.branch:
                position.check()
                scores.add("none", each.window, "momentary", position.weights, each.number)

    return [AverageBank(of_case, average_ends), look]


class _Comparison:
    """The averages of one branch point, the trips that are held against them, and how far apart they lie."""

    def __init__(self, lab: Lab, unit: BranchPoint) -> None:
        self._lab, self._seed, self._start = lab, unit.seed, lab.branch_point(unit.seed, unit.step)
        self.scores = Scores(lab, unit.seed, self._start, unit.step)
        self.distances: list[tuple[object, ...]] = []
        self._averages: dict[Key, TrainState] = {}
        self._wrong: dict[Key, list[Case]] = {}
        for control, true in plan.controls(lab.config):
            self._wrong.setdefault(true.key, []).append(control)

    def follow_run(self, compared: Sequence[Case]) -> None:
        """Take the main trajectory through the longest window, all averages on it."""

        def keep(case: Case, weights: Tensors) -> None:
            self._averages[case.key] = with_weights(self._start, weights)

        averaged = [*compared, *(case for wrong in self._wrong.values() for case in wrong)]
        self._advance(Schedule.constant(plan.longest(self._lab.config)), watched(averaged, self.scores, keep))

    def take_trip(self, schedule: Schedule, passed: Sequence[Case], averaged: Sequence[Case]) -> None:
        """Run a trip, and score it where the kernels of `passed` end; of `averaged`, its own last half too."""
        upcoming = list(passed)

        def arrive(position: Position) -> None:
            for case in [case for case in upcoming if case.window == position.step - self._start.step]:
                position.check()
                upcoming.remove(case)
                self.scores.add(case.name, case.window, "trip", position.weights)
                self._measure_distances(case, with_weights(self._start, position.weights))

        def joined(position: Position, running: RunningAverage) -> None:
            case = halves.pop(running)
            self.scores.add(case.name, case.window, "trip_average", running.weights())

        halves = {RunningAverage(plan.last_half(case.window), self._start.step): case for case in averaged}
        try:
            self._advance(schedule, [arrive, AverageBank(list(halves), joined)])
        except DivergedError:
            for case in upcoming:
                self.scores.add(case.name, case.window, "trip", None)
            for case in halves.values():
                self.scores.add(case.name, case.window, "trip_average", None)

    def _measure_distances(self, case: Case, trip: TrainState) -> None:
        for kind in (case, *self._wrong.get(case.key, [])):
            average = self._averages[kind.key]
            apart = distance(average, trip), distance(average, self._start), distance(trip, self._start)
            self.distances.append((self._seed, self._start.step, *kind.key, *apart))

    def _advance(self, schedule: Schedule, observers: Sequence[Observer]) -> None:
        watching = [*observers, each_step(self._lab)]
        self._lab.take_trip(self._start, self._lab.stream(self._seed), schedule, watching)


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The main trajectory carries the running averages of all kernels; every trip takes the same batches with the
    optimizer's state carried over.

    Returns
    -------
    side_trips : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip; trip_average: the mean of the last half of
        the iterates of a trip whose rate falls, of each method's widest), look (0 at the end of the window, then
        further before it: of the momentary model alone), split (train, validation), loss, accuracy, diverged.
        Momentary rows have the kernel "none", that of the branch point itself the window 0; negative controls have an
        average alone.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    compared = plan.cases(lab.config)
    here = _Comparison(lab, unit)
    here.follow_run(compared)
    joined = {case.key for case in plan.widest(compared) if case.decays}
    for schedule, passed in plan.shared_trips(compared):
        here.take_trip(schedule, passed, [case for case in passed if case.key in joined])
    return {"side_trips": here.scores.table(), "distances": pd.DataFrame(here.distances, columns=plan.DISTANCES)}
