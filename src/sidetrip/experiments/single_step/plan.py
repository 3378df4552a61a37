"""Plan of the single steps: which step sizes and batches are measured, and the decayed run as their reference."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sidetrip.config import Config, SingleStep
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import BranchPoint, Run, branch_points, runs
from sidetrip.experiments.work import Work, training

KEYS = ["seed", "branch", "batch_size", "own_batch", "direction", "batchnorm"]
SWEEP = [*KEYS, "range", "step_size", "batch", "index", "loss"]
REFERENCE = ["seed", "steps", "loss"]
CURVATURE = [*KEYS, "loss", "slope", "curvature"]
REFINED = 5  # step sizes between those beside the lowest
FITTED = 9  # evenly spaced step sizes that parabolas are fitted to, from 0 to somewhat beyond the best one
VARIED = (0.0, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)  # times a parabola's best step size
FIT_REACH = 1.5  # times the best step size


def coarse_step_sizes(settings: SingleStep) -> list[tuple[str, float]]:
    """Range and step size λ of the wide and of the zoomed range, ascending from 0, each once."""
    wide = np.linspace(0.0, settings.widest, settings.points)
    zoom = np.setdiff1d(np.linspace(0.0, settings.zoom, settings.points), wide)
    found = [("wide", float(x)) for x in wide] + [("zoom", float(x)) for x in zoom]
    return sorted(found, key=lambda entry: entry[1])


def near_lowest(sizes: Sequence[float], losses: ArrayLike) -> list[float]:
    """Evenly spaced step sizes between the neighbours of the one with the lowest loss, those measured left out."""
    at = int(np.argmin(losses))
    low, high = sizes[max(at - 1, 0)], sizes[min(at + 1, len(sizes) - 1)]
    return [x for x in np.linspace(low, high, REFINED + 2)[1:-1].tolist() if x not in sizes]


def measured_settings(batch_size: int, own_batch: int, step: int, config: Config) -> list[tuple[str, str]]:
    """(direction, BatchNorm statistics) to measure: the paper's; at the run's own batch size others, late in the run.

    Frozen statistics on every own batch, since a verdict rests on them; the direction of the optimizer on one.
    """
    found = [("gradient", "batch")]
    if batch_size == config.burn_in.batch_size and step in config.branch.points:
        found.append(("gradient", "frozen"))
        if (own_batch, step) == (0, config.branch.points[-1]):
            found.append(("momentum", "batch"))
    return found


def units(config: Config) -> list[BranchPoint | Run]:
    """All branch points, and all runs: each is trained on with a linear decay to 0 over as many steps as it has."""
    return [*branch_points(config), *runs(config)]


def reference_batches(config: Config) -> int:
    """Training batches that the decayed run is scored on: `evaluation.train_samples`, in whole ones."""
    return max(1, config.evaluation.train_samples // config.burn_in.batch_size)


def work(config: Config, unit: BranchPoint | Run) -> Work:
    """Batches along their lines; or training steps, and the batches that a decayed run is scored on."""
    if isinstance(unit, Run):
        scored = reference_batches(config) * config.burn_in.batch_size
        return training(config, config.burn_in.steps) + Work(scored=scored)
    settings = config.single_step
    points, total = len(coarse_step_sizes(settings)), 0
    for size in settings.batch_sizes:
        held_out = settings.held_out_batches * min(size, settings.chunk)
        for own_batch in range(settings.own_batches):
            variations = len(measured_settings(size, own_batch, unit.step, config)) - 1
            total += (points + variations * len(VARIED)) * (size + held_out)
            total += REFINED * (size + held_out) + FITTED * size
    return Work(scored=total)


PLAN = Plan("single_step", units, work)
