"""What would decaying the rate now give? Merged snapshots, and the real cool-downs that judge them.

The average of snapshots that stands for a decay (`sidetrip.snapshots`) is scored along the main trajectory. At a few
steps the decays are run for real, on the batches of the main trajectory, momentum carried over; beside them stand the
averages of iterates of the same window, as sparse as snapshots may be.

References
----------
Sandler, Zhmoginov, Miller, Vladymyrov, "Training trajectories, mini-batch losses and the curious role of the learning
rate", Table 1 and Lemma 2. DOI 10.48550/arXiv.2301.02312.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import Tensors, TrainState, with_weights
from sidetrip.engine.training import DivergedError, Observer, Position, advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.forecast.plan import (
    ALONG,
    COOL_DOWN,
    COOL_DOWNS,
    MERGED,
    MOMENTARY,
    NO_DECAY,
    SCORED_ON,
    Along,
    CoolDown,
    merged_at,
    scores_momentary,
    sparse_averages,
)
from sidetrip.experiments.work import each_step
from sidetrip.kernels import DECAYS, Schedule
from sidetrip.measure.averaging import AverageBank, RunningAverage, accumulator

LOST = (math.nan, math.nan)  # the scores of a run that diverged


def measure(lab: Lab, unit: Along | CoolDown) -> dict[str, pd.DataFrame]:
    """Score merged snapshots along a main trajectory, or the decays that begin at one of its steps.

    Returns
    -------
    merged_snapshots : DataFrame
        Along a run: seed, step (of the newest snapshot), decay, window_steps, model (momentary, merged), loss,
        accuracy.
    cool_downs : DataFrame
        Of a cool-down: seed, branch (the step at which it begins), decay, window_steps, spacing_steps (between the
        iterates of a merged model; else 0), model (momentary, merged, cool-down), loss, accuracy; validation split,
        empty where a cool-down diverged. All of the step at which the window ends.
    """
    if isinstance(unit, Along):
        return {"merged_snapshots": _along(lab, unit)}
    return {"cool_downs": _CoolDowns(lab, unit).measure()}


def _score(lab: Lab, state: TrainState) -> tuple[float, float]:
    """Loss and accuracy on the validation split."""
    ((_, found),) = evaluator.scores(lab, state, SCORED_ON)
    return found.loss, found.accuracy


def _along(lab: Lab, unit: Along) -> pd.DataFrame:
    seed, rows = unit.seed, []
    for end, merges in itertools.groupby(merged_at(lab.config, lab.rates, unit.window), lambda merge: merge[0]):
        newest = lab.snapshot(seed, end)
        if scores_momentary(lab.config, unit):
            rows.append((seed, end, NO_DECAY, 0, MOMENTARY, *_score(lab, newest)))
        for _, decay, average in merges:
            coefficients = dict(zip(average.steps, average.coefficients.tolist(), strict=True))
            weights = _merged(lab, seed, {step: coefficients[step] for step in average.used})
            rows.append((seed, end, decay, unit.window, MERGED, *_score(lab, with_weights(newest, weights))))
    return pd.DataFrame(rows, columns=ALONG)


def _merged(lab: Lab, seed: int, coefficients: Mapping[int, float]) -> Tensors:
    """Weighted sum of the weights of snapshots, in the order of their steps."""
    total: Tensors = {}
    for step, coefficient in sorted(coefficients.items()):
        weights = lab.snapshot(seed, step).weights
        total = total or {name: accumulator(weight) for name, weight in weights.items()}
        for name, weight in weights.items():
            total[name].add_(weight, alpha=coefficient)
    return total


class _CoolDowns:
    """All that begins at one step of a main trajectory."""

    def __init__(self, lab: Lab, unit: CoolDown) -> None:
        self._lab, self._unit = lab, unit
        (self._start,) = lab.replay(unit.seed, [unit.begin], [each_step(lab)])
        self._rows: list[tuple[object, ...]] = []

    def measure(self) -> pd.DataFrame:
        """Follow the main trajectory through the widest window, then run every decay."""
        self._follow()
        for window in self._lab.config.forecast.windows:
            for decay, schedule in DECAYS.items():
                self._add(decay, window, 0, COOL_DOWN, self._cooled_down(schedule(window)))
        return pd.DataFrame(self._rows, columns=COOL_DOWNS)

    def _add(self, decay: str, window: int, spacing: int, model: str, scores: tuple[float, float]) -> None:
        self._rows.append((self._unit.seed, self._unit.begin, decay, window, spacing, model, *scores))

    def _follow(self) -> None:
        lab, start, windows = self._lab, self._start, self._lab.config.forecast.windows
        averages = [
            average for window in windows for average in sparse_averages(lab.config, lab.rates, start.step, window)
        ]
        names = {id(average.kernel): average for average in averages}

        def finished(position: Position, running: RunningAverage) -> None:
            sparse = names[id(running.kernel)]
            scores = _score(lab, with_weights(start, running.weights()))
            self._add(sparse.decay, running.kernel.steps, sparse.spacing, MERGED, scores)

        def momentary(position: Position) -> None:
            if (window := position.step - start.step) in windows:
                self._add(NO_DECAY, window, 0, MOMENTARY, _score(lab, with_weights(start, position.weights)))

        bank = AverageBank([RunningAverage(average.kernel, start.step) for average in averages], finished)
        self._advance(Schedule.constant(windows[-1]), [bank, momentary])

    def _cooled_down(self, schedule: Schedule) -> tuple[float, float]:
        try:
            return _score(self._lab, self._advance(schedule, []))
        except DivergedError:
            return LOST

    def _advance(self, schedule: Schedule, observers: list[Observer]) -> TrainState:
        lab, begin = self._lab, self._unit.begin
        rates = lab.rates[begin : begin + schedule.steps] * schedule.multipliers
        stream = lab.stream(self._unit.seed)
        return advance(lab.model(), self._start, stream, rates.tolist(), lab.optimizer, [*observers, each_step(lab)])
