"""Averages of the main trajectory against side trips with the equivalent schedule (Fig. 1, 5, 10, 14)."""

from __future__ import annotations

import itertools
import math

import pandas as pd

from sidetrip.averaging import AverageBank, RunningAverage
from sidetrip.experiments.bench import SPLITS, Bench
from sidetrip.experiments.cases import Case, cases, controls, shared_trips
from sidetrip.runtime.executor import report_progress
from sidetrip.state import Tensors, TrainState, distance, initial_state, with_weights
from sidetrip.training import DivergedError, Observer, Position, advance

MOMENTARY, AVERAGE, TRIP = "momentary", "average", "trip"


class _Scores:
    """Rows of the table of one branch point."""

    def __init__(self, bench: Bench, seed: int, branch: int) -> None:
        self._bench, self._seed, self._branch = bench, seed, branch
        self.rows: list[dict[str, object]] = []

    def add(self, case: str, window: int, model: str, weights: Tensors | None) -> None:
        """Score weights; None stands for a trip that diverged."""
        scores = {s: (v.loss, v.accuracy) for s, v in self._bench.evaluate(weights)} if weights is not None else {}
        for split in SPLITS:
            loss, accuracy = scores.get(split, (math.nan, math.nan))
            self.rows.append(
                {
                    "seed": self._seed,
                    "branch": self._branch,
                    "kernel": case,
                    "window_steps": window,
                    "model": model,
                    "split": split,
                    "loss": loss,
                    "accuracy": accuracy,
                    "diverged": weights is None or not math.isfinite(loss),
                }
            )


def side_trips(bench: Bench, start: TrainState, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every average with its trip at one branch point.

    The reference trip (s ≡ 1) carries the running averages of all kernels; every trip takes the same
    batches with momentum carried over.

    Returns
    -------
    scores : DataFrame
        seed, branch, kernel, window_steps, model (momentary, average, trip), split, loss, accuracy,
        diverged. Momentary rows have the kernel "none"; negative controls have an average alone.
    distances : DataFrame
        seed, branch, kernel, window_steps, average_to_trip, average_to_start, trip_to_start:
        Euclidean, over the weights; a negative control's trip is that of the true kernel.
    """
    compared = cases(bench.config)
    false: dict[tuple[str, int], list[Case]] = {(true.name, true.window): [] for _, true in controls(bench.config)}
    for control, true in controls(bench.config):
        false[true.name, true.window].append(control)
    averaged = [*compared, *itertools.chain(*false.values())]
    scores = _Scores(bench, seed, start.step)
    averages: dict[tuple[str, int], TrainState] = {}
    names = {id(case.kernel): case for case in averaged}
    windows = {case.window for case in compared}

    def finished(position: Position, average: RunningAverage) -> None:
        case, weights = names[id(average.kernel)], average.weights()
        averages[case.name, case.window] = with_weights(start, weights)
        scores.add(case.name, case.window, AVERAGE, weights)

    def momentary(position: Position) -> None:
        if position.step - start.step in windows:
            position.check()
            scores.add("none", position.step - start.step, MOMENTARY, position.weights)

    bank = AverageBank([RunningAverage(case.kernel, start.step) for case in averaged], finished)
    model, stream, longest = bench.model(), bench.stream(seed), max(windows)
    rates = bench.rates[start.step : start.step + longest]
    advance(model, start, stream, rates.tolist(), bench.optimizer, [bank, momentary, _tick])

    distances = []
    for schedule, riders in shared_trips(compared):
        ends = {start.step + case.window: case for case in riders}

        def arrived(position: Position, ends: dict[int, Case] = ends) -> None:
            if position.step not in ends:
                return
            position.check()
            case = ends.pop(position.step)
            scores.add(case.name, case.window, TRIP, position.weights)
            here = with_weights(start, position.weights)
            for kind in (case, *false.get((case.name, case.window), [])):
                average = averages[kind.name, kind.window]
                apart = distance(average, here), distance(average, start), distance(here, start)
                distances.append((seed, start.step, kind.name, kind.window, *apart))

        try:
            advance(
                model,
                start,
                stream,
                (rates[: schedule.steps] * schedule.multipliers).tolist(),
                bench.optimizer,
                [arrived, _tick],
            )
        except DivergedError:
            for case in ends.values():
                scores.add(case.name, case.window, TRIP, None)
    columns = ["seed", "branch", "kernel", "window_steps", "average_to_trip", "average_to_start", "trip_to_start"]
    return pd.DataFrame(scores.rows), pd.DataFrame(distances, columns=columns)


def running_averages(bench: Bench, seed: int) -> pd.DataFrame:
    """Scores along the whole main trajectory: momentary, and the widest average of each kind that ends there.

    Returns
    -------
    DataFrame
        seed, step, kernel ("none" for momentary), window_steps, split, loss, accuracy.
    """
    widest = {case.name: case for case in sorted(cases(bench.config), key=lambda c: c.window)}
    steps, every = bench.config.burn_in.steps, bench.config.side_trips.every
    stops = [*range(every, steps + 1, every)]
    rows: list[dict[str, object]] = []

    def add(position: Position, kernel: str, window: int, weights: Tensors) -> None:
        for split, value in bench.evaluate(weights):
            rows.append(
                {
                    "seed": seed,
                    "step": position.step,
                    "kernel": kernel,
                    "window_steps": window,
                    "split": split,
                    "loss": value.loss,
                    "accuracy": value.accuracy,
                }
            )

    names = {id(case.kernel): name for name, case in widest.items()}

    def finished(position: Position, average: RunningAverage) -> None:
        add(position, names[id(average.kernel)], average.kernel.steps, average.weights())

    def momentary(position: Position) -> None:
        if position.step in stops:
            position.check()
            add(position, "none", 0, position.weights)

    bank = AverageBank(
        [
            RunningAverage(case.kernel, stop - case.window)
            for case in widest.values()
            for stop in stops
            if stop >= case.window
        ],
        finished,
    )
    model = bench.model(seed)
    observers: list[Observer] = [bank, momentary, _tick]
    advance(model, initial_state(model), bench.stream(seed), bench.rates.tolist(), bench.optimizer, observers)
    return pd.DataFrame(rows)


def _tick(position: Position) -> None:
    if position.batch_loss is not None:
        report_progress()
