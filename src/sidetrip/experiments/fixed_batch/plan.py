"""Plan of the trips on a fixed batch: a unit is a batch, with two points that the trips on it leave."""

import itertools
from dataclasses import dataclass

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.work import Work

COLUMNS = ["seed", "branch", "later_branch", "pair", "fixed_batch", "step_size", "steps", "alpha", "batch", "loss"]
HALVINGS = 10  # of the widest step size, tried in every line search
SEARCH = 20  # forward passes of a line search through the batch, about


@dataclass(frozen=True)
class FixedBatch:
    """Trips on one fixed batch from two branch points."""

    seed: int  # of the first point, and of the run whose batch it is
    step: int
    other_seed: int  # of the second point: a later one of the same run, or one of another initialisation
    other_step: int
    number: int  # of the batch

    @property
    def pair(self) -> str:
        """What the two points have in common."""
        return "run" if self.seed == self.other_seed else "initialisations"


def units(config: Config) -> list[FixedBatch]:
    """Each two consecutive late branch points on every batch; as a control, the first one beside another seed's."""
    points, seeds, found = config.branch.points, config.seeds, []
    for place, seed in enumerate(seeds):
        for step, later in itertools.pairwise(points):
            found += [FixedBatch(seed, step, seed, later, number) for number in range(config.fixed_batch.batches)]
        if len(seeds) > 1:
            found.append(FixedBatch(seed, points[0], seeds[(place + 1) % len(seeds)], points[0], 0))
    return found


def work(config: Config, unit: FixedBatch) -> Work:
    """Line searches and steps from both points, and the lines between them."""
    settings, batch = config.fixed_batch, config.burn_in.batch_size
    lines = 2 * settings.points * (settings.steps + 1)
    return Work(trained=4 * settings.steps * batch, scored=(lines + 2 * SEARCH * settings.steps) * batch)


PLAN = Plan("fixed_batch", units, work)
