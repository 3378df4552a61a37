"""Tables of experiments made by hand, with what a verdict on them has to be known beforehand."""

import numpy as np
import pandas as pd
from helpers import smoke_config

from sidetrip.experiments.methods import METHODS

SEEDS, LATE, EARLY, WINDOWS = (0, 1, 2, 3, 4), (20, 30), (10,), (1, 5, 10)
POINTS = [(seed, branch) for seed in SEEDS for branch in (*EARLY, *LATE)]


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
    for seed, branch in POINTS:
        here = gap if branch in LATE else early_gap

        def add(kernel, window, model, look, split, loss, seed=seed, branch=branch):
            rows.append((seed, branch, kernel, window, model, look, split, loss, 1 - loss / 2, not np.isfinite(loss)))

        for split in ("train", "validation"):
            add("none", 0, "momentary", 0, split, 1.0)
            for window in WINDOWS:
                for look in range(3 if window == max(WINDOWS) else 1):
                    add("none", window, "momentary", look, split, 1.0 + noise(spread, seed, branch, window, look))
            for method, windows in method_windows().items():
                for window in windows:
                    for look in range(3 if window == max(WINDOWS) else 1):
                        average = 1.0 - gain + noise(spread, seed, branch, window, look, 77)
                        add(method, window, "average", look, split, average)
                        lost = diverged and (seed, branch, method, window) == (1, 20, "swa", 10)
                        trip = average - here + noise(spread, seed, branch, window, look, 5)
                        add(method, window, "trip", look, split, np.nan if lost else trip)
        for control in ("ema_reversed", "ema_shuffled"):
            for split in ("train", "validation"):
                add(control, 10, "average", 0, split, 1.0 - gain)
        for method, windows in method_windows().items():
            add(method, max(windows), "average", 0, "batches", 0.9)
    columns = ["seed", "branch", "kernel", "window_steps", "model", "look", "split", "loss", "accuracy", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def single_step(own_drop=0.6, held_drop=0.02, size_effect=True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Own losses are parabolas with their lowest point at 1, held-out ones at 0.25, around a start of 1."""
    curves, curvatures = [], []
    for seed, branch in POINTS:
        for size in (8, 16, 32):
            for own_batch in (0, 1):
                own = own_drop * (1 - 0.01 * seed) * (0.5 if size_effect and size == 32 else 1.0)
                held = held_drop * (1 + 0.02 * seed) * (4.0 if size_effect and size == 32 else 1.0)
                key = (seed, branch, size, own_batch, "gradient", "batch")
                for x in np.linspace(0, 2, 9):
                    curves.append((*key, "wide", x, "own", 0, 1 - own * (2 * x - x**2)))
                    for index in (1, 2):
                        curves.append((*key, "wide", x, "held_out", index, 1 - held * (8 * x - 16 * x**2)))
                for x in np.linspace(0, 1.5, 9):
                    curves.append((*key, "fit", x, "own", 0, 1 - own * (2 * x - x**2)))
                curvatures.append((*key, 1.0, -2 * own, 2 * own))
    keys = ["seed", "branch", "batch_size", "own_batch", "direction", "batchnorm"]
    return (
        pd.DataFrame(curves, columns=[*keys, "range", "step_size", "batch", "index", "loss"]),
        pd.DataFrame(curvatures, columns=[*keys, "loss", "slope", "curvature"]),
    )


def fixed_batch(own_end=0.02, held_out_end=3.0, hill=0.0) -> pd.DataFrame:
    """Losses of 1 before the first step; straight lines but for a hill in the middle of the last one."""
    rows = []
    for seed in SEEDS:
        for batch, end in (("own", own_end), ("held_out", held_out_end)):
            for steps in range(4):
                for alpha in np.linspace(0, 1, 5):
                    loss = 1.0 if steps == 0 else end * (1 + noise(0.01, seed, steps))
                    bump = hill if steps == 3 and alpha == 0.5 else 0.0
                    rows.append((seed, 20, 30, 0.1, steps, alpha, batch, loss + bump))
    columns = ["seed", "branch", "later_branch", "step_size", "steps", "alpha", "batch", "loss"]
    return pd.DataFrame(rows, columns=columns)


def alignment(growth=0.0, cosine=0.8, between=0.95, others=0.02) -> dict[str, pd.DataFrame]:
    """A gradient norm that grows by `growth` from the first to the last look, and cosines that stay."""
    along, apart = [], []
    for seed in SEEDS:
        for branch in LATE:
            for step in range(0, 11):
                for trip in ("constant", "linear"):
                    value = 1.0 if step == 0 else cosine + noise(0.01, seed, branch, step)
                    norm = 2.0 * (1 + growth * step / 10) * (1 + noise(0.001, seed, branch, step, 1))
                    other = others + noise(0.005, seed, branch, step, 2)
                    along.append((seed, branch, trip, step, 0, value, other, norm, 1.0, 1.0, 1.0, False))
                apart.append((seed, branch, step, 0, 1.0 if step == 0 else between, 0.5))
    measured = [
        "fixed_cosine",
        "different_batches_cosine",
        "fixed_norm",
        "training_norm",
        "fixed_loss",
        "training_loss",
    ]
    keys = ["seed", "branch", "trip", "trip_step", "fixed_batch"]
    return {
        "alignment": pd.DataFrame(along, columns=[*keys, *measured, "diverged"]),
        "between_trips": pd.DataFrame(
            apart, columns=["seed", "branch", "trip_step", "fixed_batch", "fixed_cosine", "training_cosine"]
        ),
    }


def divergence(change_after=0.0) -> dict[str, pd.DataFrame]:
    """Midpoints that stay near the λ/2 trip; distances that fall up to the branch point and then change."""
    apart, distances, along = [], [], []
    for seed in SEEDS:
        for branch in LATE:
            for step in (0, *WINDOWS):
                wobble = 1 + noise(0.01, seed, branch, step)
                apart.append((seed, branch, step, 0.2 * step, 0.3 * step * wobble))
                if step:
                    distances.append((seed, branch, "two_point", step, 0.1 * step, 0.1 * step, 0.1 * step))
            for step in range(0, 41, 5):
                after = change_after * max(0, step - branch)
                along.append((seed, branch, step, 10 - 0.1 * min(step, branch) + after + noise(0.001, seed, step)))
    to = ["average_to_trip", "average_to_start", "trip_to_start"]
    return {
        "distances": pd.DataFrame(distances, columns=["seed", "branch", "kernel", "window_steps", *to]),
        "trip_distances": pd.DataFrame(
            apart, columns=["seed", "branch", "trip_step", "trip_to_start", "trip_to_independent"]
        ),
        "to_independent_end": pd.DataFrame(along, columns=["seed", "branch", "step", "distance"]),
    }


def running_averages() -> pd.DataFrame:
    rows = []
    for start in (0, 10, 20, 30):
        for split in ("train", "validation"):
            for step in (start, start + 8, start + 9, start + 10):
                loss = 2.0 - 0.02 * step
                rows.append((0, step, "none", 0, split, loss, 1 - loss / 2))
            rows += [(0, start + 10, method.name, 10, split, 1.5, 0.4) for method in METHODS]
    return pd.DataFrame(rows, columns=["seed", "step", "kernel", "window_steps", "split", "loss", "accuracy"])


def batch_losses() -> pd.DataFrame:
    rows = [(seed, step, 0.05, 2.0) for seed in SEEDS for step in range(1, 41)]
    return pd.DataFrame(rows, columns=["seed", "step", "rate", "batch_loss"])


def cool_downs(gap=0.01, gain=0.1, spread=0.001, seeds=SEEDS, begins=(5, 15, 25)) -> pd.DataFrame:
    """A run at loss 1, merged models better by `gain`, cool-downs better by `gap` again; accuracy is 1 - loss / 2."""
    rows = []

    def add(seed, begin, decay, spacing, model, loss):
        rows.append((seed, begin, decay, 15, spacing, model, loss, 1 - loss / 2))

    for seed in seeds:
        for begin in begins:
            add(seed, begin, "none", 0, "momentary", 1.0)
            for number, decay in enumerate(("linear", "cosine", "1-sqrt")):
                for spacing in (1, 5, 15):
                    add(seed, begin, decay, spacing, "merged", 1.0 - gain)
                lost = gap + noise(spread, seed, begin, number, 9)
                add(seed, begin, decay, 0, "cool-down", 1.0 - gain - lost)
    columns = ["seed", "branch", "decay", "window_steps", "spacing_steps", "model", "loss", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def merged_snapshots(gain=0.1) -> pd.DataFrame:
    """Along the first seed's run: loss 1, merged models better by `gain`."""
    rows = []
    for step in (15, 30):
        rows.append((0, step, "none", 0, "momentary", 1.0, 0.5))
        rows += [(0, step, decay, 15, "merged", 1.0 - gain, 0.55) for decay in ("linear", "cosine", "1-sqrt")]
    return pd.DataFrame(rows, columns=["seed", "step", "decay", "window_steps", "model", "loss", "accuracy"])
