"""Forecasts of a decay that begins now, from what a run knows at that step: its losses so far, and no more.

The decay begins at step t and takes k steps, on batches that the run has not seen at t. Its forecast is the merged
loss at t, carried along its drift to t + k (`sidetrip.loss_forecast`), plus a correction, of three kinds: none; learned
from the run's own cool-downs that had ended by t; or predicted by the analytic model, with the curvature and the
gradient noise that were measured by t: (average - trip) ÷ gain times what merging gains at t.

An accuracy is forecast as its complement, the share of wrong answers, which falls as a loss does.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import applies, spectra
from sidetrip.experiments.forecast.plan import windows_from
from sidetrip.experiments.forecast.sparse import predicted_difference
from sidetrip.kernels import DECAYS
from sidetrip.loss_forecast import CoolDown, Forecast, Losses, TooFewLossesError, forecast

METRICS = ("loss", "accuracy")
SEALED = [
    *("seed", "branch", "decay", "window_steps", "metric", "correction", "momentary", "merged", "drift", "added"),
    *("forecast", "low", "high", "cool_downs", "steps_at_constant_rate"),
]


def falling(metric: str, values: np.ndarray) -> np.ndarray:
    """Losses as they are, accuracies as shares of wrong answers; its own inverse."""
    return values if metric == "loss" else 1.0 - values


def forecasts_at(config: Config, seed: int, begin: int, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Forecasts of all decays that begin at a step of a run.

    Nothing after that step is looked at: of the looks later ones, of the cool-downs those that end later, of the
    curvature what was measured on later iterates.

    The tables are merged_snapshots, cool_downs and, where it was measured, curvature_nodes.

    Returns
    -------
    DataFrame
        seed, branch, decay, window_steps, metric, correction (none, learned, predicted); momentary, merged, drift,
        added (the correction), forecast, low, high; cool_downs (that it learned from), steps_at_constant_rate (for the
        same loss; empty: more than the run has had). Drift and correction of accuracies too are in their own direction.
        No row where there are too few looks.
    """
    known = _known(config, seed, begin, tables)
    rows: list[tuple[object, ...]] = []
    for window in windows_from(config, begin):
        for decay in DECAYS:
            for metric in METRICS:
                try:
                    made = list(_forecasts(config, known, begin, (decay, window, metric)))
                except TooFewLossesError:
                    continue
                rows += [(seed, begin, decay, window, metric, name, *_cells(metric, found)) for name, found in made]
    return pd.DataFrame(rows, columns=SEALED)


def _known(config: Config, seed: int, begin: int, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What is known of a run at a step."""
    looks, downs = tables["merged_snapshots"], tables["cool_downs"]
    ended = (downs["branch"] + downs["window_steps"] <= begin) & (downs["model"] == "cool-down")
    known = {
        "looks": looks[(looks["seed"] == seed) & (looks["step"] <= begin)],
        "cool_downs": downs[(downs["seed"] == seed) & ended],
    }
    if applies(config) and (nodes := tables.get("curvature_nodes")) is not None:
        measured_by = nodes["branch"] + max(config.side_trips.windows)  # steps of the average that it is measured at
        known["nodes"] = nodes[(nodes["seed"] == seed) & (measured_by <= begin)]
    return known


def _forecasts(
    config: Config, known: Mapping[str, pd.DataFrame], begin: int, cell: tuple[str, int, str]
) -> Iterator[tuple[str, Forecast]]:
    """Forecasts of one score of one decay, by their correction."""
    decay, window, metric = cell
    looks, downs = known["looks"], known["cool_downs"]
    momentary = _losses(looks[looks["model"] == "momentary"], metric)
    of_decay = (looks["model"] == "merged") & (looks["decay"] == decay) & (looks["window_steps"] == window)
    merged = _losses(looks[of_decay], metric)
    plain = forecast(momentary, merged, [], begin, window, decay)
    yield "none", plain
    ended = downs.query("decay == @decay and window_steps == @window").dropna(subset=[metric])
    values = falling(metric, ended[metric].to_numpy(float)).tolist()
    earlier = [CoolDown(start, window, decay, value) for start, value in zip(ended["branch"], values, strict=True)]
    if (learned := forecast(momentary, merged, earlier, begin, window, decay)).cool_downs:
        yield "learned", learned
    if metric == "loss" and len(known.get("nodes", ())):
        yield "predicted", corrected(plain, _predicted(config, known["nodes"], plain))


def _losses(rows: pd.DataFrame, metric: str) -> Losses:
    return Losses(rows["step"].to_numpy(float), falling(metric, rows[metric].to_numpy(float)))


def _predicted(config: Config, nodes: pd.DataFrame, plain: Forecast) -> float:
    """Cool-down minus merged, by the analytic model."""
    (spectrum,) = spectra(nodes).values()
    spacing = config.burn_in.snapshot_every
    return -predicted_difference(config, plain.decay, plain.over_steps, spacing, spectrum) * plain.gain


def corrected(plain: Forecast, correction: float) -> Forecast:
    """A forecast without a correction, and one added to it."""
    interval = replace(plain.interval, low=plain.interval.low + correction, high=plain.interval.high + correction)
    return replace(plain, correction=correction, loss=plain.loss + correction, interval=interval)


def _cells(metric: str, found: Forecast) -> tuple[object, ...]:
    """Of a forecast, the columns from momentary on."""
    ends = (found.interval.low, found.interval.high)
    levels = falling(metric, np.array([found.momentary, found.merged, found.loss, *ends]))
    momentary, merged, value, low, high = levels.tolist()
    parts = [found.drift, found.correction] if metric == "loss" else [0.0 - found.drift, 0.0 - found.correction]
    steps = found.steps_at_constant_rate[0]
    return (
        *(momentary, merged, *parts, value, min(low, high), max(low, high)),
        *(found.cool_downs, math.nan if steps is None else steps),
    )
