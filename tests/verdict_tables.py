"""Tables of experiments made by hand, with what a verdict on them has to be known beforehand."""

from itertools import product

import numpy as np
import pandas as pd
from helpers import smoke_config

from sidetrip.experiments.alignment import plan as gradients
from sidetrip.experiments.divergence.plan import TO_END, TRIP_DISTANCES
from sidetrip.experiments.fixed_batch.plan import COLUMNS as FIXED_BATCH
from sidetrip.experiments.forecast.plan import ALONG, COOL_DOWNS
from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.running_averages.plan import COLUMNS as RUNNING_AVERAGES
from sidetrip.experiments.side_trips.plan import DISTANCES, SCORES
from sidetrip.experiments.single_step.plan import CURVATURE, SWEEP
from sidetrip.kernels import DECAYS

SEEDS, LATE, EARLY, WINDOWS = (0, 1, 2, 3, 4), (20, 30), (10,), (1, 5, 10)
POINTS = list(product(SEEDS, (*EARLY, *LATE)))
LATE_POINTS = list(product(SEEDS, LATE))
SPLITS = ("train", "validation")


def config(**changes):
    return smoke_config(**{"seeds": list(SEEDS), **changes})


def method_windows() -> dict[str, list[int]]:
    """Windows of every averaging method, by its name."""
    return {method.name: [kernel.steps for kernel in method.kernels(config().side_trips)] for method in METHODS}


def noise(scale: float, *key: int) -> float:
    """Small, fixed, different for every key, and of mean about 0."""
    return scale * float(np.random.default_rng(list(key)).standard_normal())


def side_trips(gap=0.0, gain=0.1, spread=0.002, early_gap=0.0, diverged=False) -> pd.DataFrame:
    """Momentary loss 1, average better by `gain`, trip better than the average by `gap`; accuracy is 1 - loss / 2."""
    rows = []

    def add(*key, loss):
        rows.append((*key, loss, 1 - loss / 2, not np.isfinite(loss)))

    def looks(window):
        return range(3 if window == max(WINDOWS) else 1)

    for (seed, branch), split in product(POINTS, SPLITS):
        here = gap if branch in LATE else early_gap
        add(seed, branch, "none", 0, "momentary", 0, split, loss=1.0)
        for window in WINDOWS:
            for look in looks(window):
                loss = 1.0 + noise(spread, seed, branch, window, look)
                add(seed, branch, "none", window, "momentary", look, split, loss=loss)
        for method, windows in method_windows().items():
            for window, look in ((each, look) for each in windows for look in looks(each)):
                average = 1.0 - gain + noise(spread, seed, branch, window, look, 77)
                lost = diverged and (seed, branch, method, window) == (1, 20, "swa", 10)
                trip = np.nan if lost else average - here + noise(spread, seed, branch, window, look, 5)
                for model, loss in (("average", average), ("trip", trip)):
                    add(seed, branch, method, window, model, look, split, loss=loss)
        for control in ("ema_reversed", "ema_shuffled"):
            add(seed, branch, control, 10, "average", 0, split, loss=1.0 - gain)
    for (seed, branch), (method, windows) in product(POINTS, method_windows().items()):
        add(seed, branch, method, max(windows), "average", 0, "batches", loss=0.9)
    return pd.DataFrame(rows, columns=SCORES)


def single_step(own_drop=0.6, held_drop=0.02, size_effect=True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Own losses are parabolas with their lowest point at 1, held-out ones at 0.25, around a start of 1."""
    curves, curvatures = [], []
    for (seed, branch), size, own_batch in product(POINTS, (8, 16, 32), (0, 1)):
        large = size_effect and size == 32
        own = own_drop * (1 - 0.01 * seed) * (0.5 if large else 1.0)
        held = held_drop * (1 + 0.02 * seed) * (4.0 if large else 1.0)
        key = (seed, branch, size, own_batch, "gradient", "batch")
        for name, x in [*(("wide", x) for x in np.linspace(0, 2, 9)), *(("fit", x) for x in np.linspace(0, 1.5, 9))]:
            curves.append((*key, name, x, "own", 0, 1 - own * (2 * x - x**2)))
            for index in (1, 2) if name == "wide" else ():
                curves.append((*key, name, x, "held_out", index, 1 - held * (8 * x - 16 * x**2)))
        curvatures.append((*key, 1.0, -2 * own, 2 * own))
    return pd.DataFrame(curves, columns=SWEEP), pd.DataFrame(curvatures, columns=CURVATURE)


def fixed_batch(own_end=0.02, held_out_end=3.0, hill=0.0) -> pd.DataFrame:
    """Losses of 1 before the first step; straight lines but for a hill in the middle of the last one."""
    rows = []
    for seed, (batch, end), steps in product(SEEDS, (("own", own_end), ("held_out", held_out_end)), range(4)):
        for alpha in np.linspace(0, 1, 5):
            loss = 1.0 if steps == 0 else end * (1 + noise(0.01, seed, steps))
            bump = hill if steps == 3 and alpha == 0.5 else 0.0
            rows.append((seed, 20, 30, 0.1, steps, alpha, batch, loss + bump))
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


def divergence(change_after=0.0) -> dict[str, pd.DataFrame]:
    """Midpoints that stay near the λ/2 trip; distances that fall up to the branch point and then change."""
    apart, distances, along = [], [], []
    for seed, branch in LATE_POINTS:
        for step in (0, *WINDOWS):
            apart.append((seed, branch, step, 0.2 * step, 0.3 * step * (1 + noise(0.01, seed, branch, step))))
        distances += [(seed, branch, "two_point", step, *[0.1 * step] * 3) for step in WINDOWS]
        for step in range(0, 41, 5):
            after = change_after * max(0, step - branch)
            along.append((seed, branch, step, 10 - 0.1 * min(step, branch) + after + noise(0.001, seed, step)))
    return {
        "distances": pd.DataFrame(distances, columns=DISTANCES),
        "trip_distances": pd.DataFrame(apart, columns=TRIP_DISTANCES),
        "to_independent_end": pd.DataFrame(along, columns=TO_END),
    }


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


def cool_downs(gap=0.01, gain=0.1, spread=0.001, seeds=SEEDS, begins=(5, 15, 25)) -> pd.DataFrame:
    """A run at loss 1, merged models better by `gain`, cool-downs better by `gap` again; accuracy is 1 - loss / 2."""
    rows = []
    for seed, begin in product(seeds, begins):
        losses = {("none", 0, "momentary"): 1.0}
        for number, decay in enumerate(DECAYS):
            losses |= {(decay, spacing, "merged"): 1.0 - gain for spacing in (1, 5, 15)}
            losses[decay, 0, "cool-down"] = 1.0 - gain - gap - noise(spread, seed, begin, number, 9)
        for (decay, spacing, model), loss in losses.items():
            rows.append((seed, begin, decay, 15, spacing, model, loss, 1 - loss / 2))
    return pd.DataFrame(rows, columns=COOL_DOWNS)


def merged_snapshots(gain=0.1) -> pd.DataFrame:
    """Along the first seed's run: loss 1, merged models better by `gain`."""
    rows = []
    for step in (15, 30):
        rows.append((0, step, "none", 0, "momentary", 1.0, 0.5))
        rows += [(0, step, decay, 15, "merged", 1.0 - gain, 0.55) for decay in DECAYS]
    return pd.DataFrame(rows, columns=ALONG)


def verdicts(found) -> dict[str, str]:
    """Verdicts of judged statements, by name; those not measured have none."""
    return {name: getattr(row, "verdict", "not measured") for name, row in found.items()}


def refuted(found) -> set[str]:
    """Names of the statements that were not reproduced."""
    return {name for name, verdict in verdicts(found).items() if verdict == "not reproduced"}
