"""Tables of experiments made by hand, with what a verdict on them has to be known beforehand."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from helpers import smoke_config
from omegaconf import DictConfig

from sidetrip.config import load_params
from sidetrip.experiments.alignment import plan as gradients
from sidetrip.experiments.curvature.plan import COLUMNS as NODES
from sidetrip.experiments.divergence.plan import DISTANCES as TRIP_DISTANCES
from sidetrip.experiments.divergence.plan import LOSSES as TRIP_LOSSES
from sidetrip.experiments.divergence.plan import TO_END
from sidetrip.experiments.fixed_batch.plan import COLUMNS as FIXED_BATCH
from sidetrip.experiments.forecast.forward import forecasts_at
from sidetrip.experiments.forecast.plan import ALONG, COOL_DOWNS
from sidetrip.experiments.mean_gradient.plan import COLUMNS as MEAN_GRADIENT
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.replicas.plan import MEANS, REPLICAS
from sidetrip.experiments.running_averages.plan import COLUMNS as RUNNING_AVERAGES
from sidetrip.experiments.side_trips.plan import DISTANCES, SCORES
from sidetrip.experiments.single_step.plan import CURVATURE, REFERENCE, SWEEP, VARIED, measured_settings
from sidetrip.kernels import DECAYS

SEEDS, LATE, EARLY, WINDOWS = (0, 1, 2, 3, 4), (20, 30), (10,), (1, 5, 10)
POINTS = list(product(SEEDS, (*EARLY, *LATE)))
LATE_POINTS = list(product(SEEDS, LATE))
SPLITS = ("train", "validation")


def config(**changes):
    return smoke_config(**{"seeds": list(SEEDS), **changes})


def base() -> DictConfig:
    """Of params.yaml."""
    return load_params(Path("params.yaml")).base


def method_windows() -> dict[str, list[int]]:
    """Windows of every averaging method, by its name."""
    return {method.name: [kernel.steps for kernel in method.kernels(config().side_trips)] for method in METHODS}


def noise(scale: float, *key: int) -> float:
    """Small, fixed, different for every key, and of mean about 0."""
    return scale * float(np.random.default_rng(list(key)).standard_normal())


def side_trips(gap=0.0, gain=0.1, spread=0.002, early_gap=0.0, joined=0.01, diverged=False) -> pd.DataFrame:
    """Momentary loss 1, average better by `gain`, trip better than the average by `gap`; accuracy is 1 - loss / 2.

    The mean of a decaying trip's last half is better than its end by `joined`.
    """
    rows = []

    def add(*key, loss):
        rows.append((*key, loss, 1 - loss / 2, not np.isfinite(loss)))

    for (seed, branch), split in product(POINTS, SPLITS):
        here = gap if branch in LATE else early_gap
        add(seed, branch, "none", 0, "momentary", 0, split, loss=1.0)
        for window in WINDOWS:
            for look in range(3 if window == max(WINDOWS) else 1):
                loss = 1.0 + noise(spread, seed, branch, window, look)
                add(seed, branch, "none", window, "momentary", look, split, loss=loss)
        for method, windows in method_windows().items():
            for window in windows:
                average = 1.0 - gain + noise(spread, seed, branch, window, 77)
                lost = diverged and (seed, branch, method, window) == (1, 20, "swa", 10)
                trip = np.nan if lost else average - here + noise(spread, seed, branch, window, 5)
                add(seed, branch, method, window, "average", 0, split, loss=average)
                add(seed, branch, method, window, "trip", 0, split, loss=trip)
            if method != "two_point":
                half = trip - joined + noise(spread, seed, branch, 13)
                add(seed, branch, method, max(windows), "trip_average", 0, split, loss=half)
        for control in ("ema_reversed", "ema_shuffled"):
            add(seed, branch, control, 10, "average", 0, split, loss=1.0 - gain)
    return pd.DataFrame(rows, columns=SCORES)


def single_step(
    own_drop=0.6, held_drop=0.02, frozen_drop=0.2, size_effect=True, frozen_start=1.1
) -> dict[str, pd.DataFrame]:
    """Own losses are parabolas with their lowest point at 1, held-out ones at 0.25, around a start of 1.

    With frozen BatchNorm they start at `frozen_start`; own batches drop by `frozen_drop` of it, held-out ones by a
    quarter of that. Decayed runs end at 0.9.
    """
    curves, curvatures = [], []

    def add(key, name, sizes, own, held, start=1.0):
        for x in sizes:
            curves.append((*key, name, x, "own", 0, start * (1 - own * (2 * x - x**2))))
            for index in (1, 2) if held is not None else ():
                curves.append((*key, name, x, "held_out", index, start * (1 - held * (8 * x - 16 * x**2))))

    for (seed, branch), size, own_batch in product(POINTS, (8, 16, 32), (0, 1)):
        large = size_effect and size == 32
        own = own_drop * (1 - 0.01 * seed) * (0.5 if large else 1.0)
        held = held_drop * (1 + 0.02 * seed) * (4.0 if large else 1.0)
        for direction, batchnorm in measured_settings(size, own_batch, branch, config()):
            key = (seed, branch, size, own_batch, direction, batchnorm)
            if (direction, batchnorm) == ("gradient", "batch"):
                add(key, "wide", np.linspace(0, 2, 9), own, held)
                add(key, "fit", np.linspace(0, 1.5, 9), own, None)
            else:
                frozen = frozen_drop * (1 + noise(0.01, seed, branch, own_batch))
                add(key, "near_parabola", (0.0, 0.25, *VARIED[1:]), frozen, frozen / 4, frozen_start)
            curvatures.append((*key, 1.0, -2 * own, 2 * own))
    return {
        "single_step": pd.DataFrame(curves, columns=SWEEP),
        "curvature": pd.DataFrame(curvatures, columns=CURVATURE),
        "decayed_run": pd.DataFrame([(seed, 40, 0.9) for seed in SEEDS], columns=REFERENCE),
    }


def fixed_batch(own_end=0.02, held_out_end=3.0, hill=0.0, ridge=1.0) -> pd.DataFrame:
    """Losses of 1 before the first step; straight lines but for a hill in the middle of the last one.

    Two fixed batches a seed; between two initialisations there is a hill as high as `ridge`.
    """
    rows = []
    pairs = [(30, "run", 0, hill), (30, "run", 1, hill), (20, "initialisations", 0, ridge)]
    for seed, (later, pair, number, top) in product(SEEDS, pairs):
        for (batch, end), steps in product((("own", own_end), ("held_out", held_out_end)), range(4)):
            for alpha in np.linspace(0, 1, 5):
                loss = 1.0 if steps == 0 else end * (1 + noise(0.01, seed, number, steps))
                bump = top if steps == 3 and alpha == 0.5 else 0.0
                rows.append((seed, 20, later, pair, number, 0.1, steps, alpha, batch, loss + bump))
    return pd.DataFrame(rows, columns=FIXED_BATCH)


def alignment(growth=0.0, cosine=0.8, between=0.95, others=0.02) -> dict[str, pd.DataFrame]:
    """A gradient norm that grows by `growth` from the first to the last look, and cosines that stay."""
    along, apart = [], []
    for (seed, branch), step in product(LATE_POINTS, range(11)):
        value = 1.0 if step == 0 else cosine + noise(0.01, seed, branch, step)
        norm = 2.0 * (1 + growth * step / 10) * (1 + noise(0.001, seed, branch, step, 1))
        other = others + noise(0.005, seed, branch, step, 2)
        for trip in ("constant", "linear"):
            along.append((seed, branch, trip, step, 0, value, other, norm, 1.0, 1.0, 1.0, False))
        apart.append((seed, branch, step, 0, 1.0 if step == 0 else between, 0.5))
    return {
        "alignment": pd.DataFrame(along, columns=gradients.ALONG),
        "between_trips": pd.DataFrame(apart, columns=gradients.BETWEEN),
    }


def divergence(gap=0.0, gain=0.1, level=0.6, rise=0.0) -> dict[str, pd.DataFrame]:
    """Midpoints whose loss lies `gain` below the λ trip's and `gap` above the λ/2 trip's.

    The distance to the end of the independent trip falls from 10 at step 10 to `level` of it at step 25, and then
    changes by `rise` a step.
    """
    distances, losses, along = [], [], []
    for seed, branch in product(SEEDS, LATE[-1:]):
        losses += [(seed, branch, 0, model, 1.0) for model in ("trip", "midpoint", "half_rate")]
        for step in range(1, 11):
            independent = 0.3 * step * (1 + noise(0.01, seed, branch, step))
            distances.append((seed, branch, step, 0.2 * step, independent, *[0.1 * step] * 3))
            loss = 1.0 - 0.01 * step + noise(0.002, seed, branch, step)
            models = {"trip": loss, "midpoint": loss - gain, "half_rate": loss - gain - gap}
            losses += [(seed, branch, step, model, value) for model, value in models.items()]
    for seed, step in product(SEEDS, range(10, 41, 5)):
        fallen = 10 * (1 - (1 - level) * min(1, (step - 10) / 15)) * (1 + noise(0.001, seed, step))
        along.append((seed, 10, step, fallen + rise * max(0, step - 25)))
    return {
        "trip_distances": pd.DataFrame(distances, columns=TRIP_DISTANCES),
        "trip_losses": pd.DataFrame(losses, columns=TRIP_LOSSES),
        "to_independent_end": pd.DataFrame(along, columns=TO_END),
    }


def distances() -> pd.DataFrame:
    """Averages 0.1 × their window from the trip; wrong kernels three times as far."""
    rows = []
    for (seed, branch), (method, windows) in product(POINTS, method_windows().items()):
        rows += [(seed, branch, method, window, *[0.1 * window] * 3) for window in windows]
    for (seed, branch), how in product(POINTS, ("reversed", "shuffled")):
        rows.append((seed, branch, f"ema_{how}", 10, 3.0, 1.0, 1.0))
    return pd.DataFrame(rows, columns=DISTANCES)


def curvature_nodes(curvatures=(0.5, 4.0), powers=(1.0, 0.25)) -> pd.DataFrame:
    """The same spectrum from two vectors of noise at each late branch point."""
    rows = [
        (seed, branch, start, *node)
        for (seed, branch), start, node in product(LATE_POINTS, (0, 1), zip(curvatures, powers, strict=True))
    ]
    return pd.DataFrame(rows, columns=NODES)


def replicas(
    momentary=(0.1, 0.0), average=(0.01, 0.0), trip=(0.02, -0.03), as_far=(0.1, 0.0), spread=0.001
) -> dict[str, pd.DataFrame]:
    """What noise adds to each model, and where it lies without it; of the trip perhaps by kernel, else of all."""
    alone, together = [], []
    number = config().replicas.number
    for seed, split in product(SEEDS, SPLITS):
        models = [("none", "momentary", momentary)]
        for method in METHODS:
            of_trip = trip[method.name] if isinstance(trip, dict) else trip
            models += [(method.name, "average", average), (method.name, "trip", of_trip)]
            models += [(method.name, "as_far", as_far)]
        for place, (kernel, model, (made, rest)) in enumerate(models):
            key, level = (seed, LATE[-1], kernel, max(WINDOWS), model), 1.0 + rest + noise(spread, seed, place)
            together.append((*key, split, level + made / number, 0.5))
            alone += [(*key, replica, split, level + made, 0.5) for replica in range(number)]
    return {"replicas": pd.DataFrame(alone, columns=REPLICAS), "replica_means": pd.DataFrame(together, columns=MEANS)}


def mean_gradient(lift=0.02, of_weights=0.01, of_gradients=-0.01, spread=0.001) -> pd.DataFrame:
    """Losses whose differences are given: of the momentary model, and average - trip of either mean."""
    rows = []
    for seed, split in product(SEEDS, SPLITS):
        key = (seed, LATE[-1])
        levels = [("none", "momentary", "weights", 1.0 + lift), ("none", "momentary", "gradients", 1.0)]
        for method, (mean_of, gap) in product(METHODS, (("weights", of_weights), ("gradients", of_gradients))):
            levels += [(method.name, "average", mean_of, 0.8 + gap), (method.name, "trip", mean_of, 0.8)]
        for place, (kernel, model, mean_of, level) in enumerate(levels):
            loss = level + noise(spread, seed, place)
            rows.append((*key, kernel, max(WINDOWS), model, mean_of, split, loss, 0.5))
    return pd.DataFrame(rows, columns=MEAN_GRADIENT)


def running_averages() -> pd.DataFrame:
    rows = []
    for start, split in product((0, 10, 20, 30), SPLITS):
        for step in (start, start + 8, start + 9, start + 10):
            rows.append((0, step, "none", 0, split, 2.0 - 0.02 * step, 0.01 * step))
        rows += [(0, start + 10, method.name, 10, split, 1.5, 0.4) for method in METHODS]
    return pd.DataFrame(rows, columns=RUNNING_AVERAGES)


def batch_losses() -> pd.DataFrame:
    rows = [(seed, step, 0.05, 2.0) for seed in SEEDS for step in range(1, 41)]
    return pd.DataFrame(rows, columns=["seed", "step", "rate", "batch_loss"])


BEGINS, SNAPSHOTS = (20, 25, 30, 35), range(5, 41, 5)


def run_loss(step: int) -> float:
    """Loss of a run at its rate, which falls as one over the root of the step; 1 at step 20."""
    return 0.9 + 0.1 * float(np.sqrt(20 / step))


def cool_downs(gap=0.01, gain=0.1, spread=0.001, seeds=SEEDS, begins=BEGINS) -> pd.DataFrame:
    """A falling run, merged models better by `gain`, cool-downs better by `gap` again; accuracy is 1 - loss / 2."""
    rows = []
    for seed, begin in product(seeds, begins):
        now = run_loss(begin + 5)
        losses = {("none", 0, "momentary"): now}
        for number, decay in enumerate(DECAYS):
            losses |= {(decay, spacing, "merged"): now - gain for spacing in (1, 5)}
            losses[decay, 0, "cool-down"] = now - gain - gap - noise(spread, seed, begin, number, 9)
        for (decay, spacing, model), loss in losses.items():
            rows.append((seed, begin, decay, 5, spacing, model, loss, 1 - loss / 2))
    return pd.DataFrame(rows, columns=COOL_DOWNS)


def merged_snapshots(gain=0.1, seeds=SEEDS) -> pd.DataFrame:
    """Along the runs: the losses of `cool_downs` at every snapshot."""
    rows = []
    for seed, step in product(seeds, SNAPSHOTS):
        losses = {("none", 0, "momentary"): run_loss(step)}
        losses |= {(decay, 5, "merged"): run_loss(step) - gain for decay in DECAYS}
        rows += [(seed, step, *key, loss, 1 - loss / 2) for key, loss in losses.items()]
    return pd.DataFrame(rows, columns=ALONG)


def forecast_tables(**changes) -> dict[str, pd.DataFrame]:
    """What the stage of the forecasts leaves, its sealed forecasts made from these very tables."""
    tables = {"merged_snapshots": merged_snapshots(), "cool_downs": cool_downs(**changes)}
    seeds, begins = (tables["cool_downs"][key].unique() for key in ("seed", "branch"))
    made = [forecasts_at(config(), seed, begin, tables) for seed, begin in product(seeds, begins)]
    return {**tables, "sealed_forecasts": pd.concat(made, ignore_index=True)}


def verdicts(found) -> dict[str, str]:
    """Verdicts of judged statements, by name; those not measured have none."""
    return {name: getattr(row, "verdict", "not measured") for name, row in found.items()}


def refuted(found) -> set[str]:
    """Names of the statements that were not reproduced."""
    return {name for name, verdict in verdicts(found).items() if verdict == "not reproduced"}
