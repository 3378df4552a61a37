"""Plan of the averages along the run: a unit is a stretch of a main trajectory."""

from dataclasses import dataclass

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.side_trips.plan import cases, longest, looks, widest
from sidetrip.experiments.units import replay_steps
from sidetrip.experiments.work import Work, scoring, training

COLUMNS = ["seed", "step", "kernel", "window_steps", "split", "loss", "accuracy"]


@dataclass(frozen=True)
class Stretch:
    """A stretch of a main trajectory, by the steps that windows of running averages begin with there."""

    seed: int
    starts: tuple[int, ...]


def stretches(config: Config) -> list[Stretch]:
    """Where running averages run, on the main trajectory of the first seed: figures draw that one.

    Windows share a pass where, each in a pass of its own from the snapshot before it, they would take a step twice.
    """
    window, snapshots = longest(config), config.burn_in.snapshot_every
    found: list[list[int]] = []
    for start in range(0, config.burn_in.steps - window + 1, config.side_trips.every):
        if found and start - start % snapshots < found[-1][-1] + window:
            found[-1].append(start)
        else:
            found.append([start])
    return [Stretch(config.seeds[0], tuple(starts)) for starts in found]


def stretch_steps(config: Config, stretch: Stretch) -> int:
    """Steps from the first window's start to the last one's end."""
    return stretch.starts[-1] + longest(config) - stretch.starts[0]


def work(config: Config, stretch: Stretch) -> Work:
    """Steps of the stretch, and the models scored in each of its windows."""
    steps = replay_steps(config, stretch.starts[:1]) + stretch_steps(config, stretch)
    models = len(stretch.starts) * (len(looks(config)) + len(widest(cases(config))))
    return training(config, steps) + scoring(config, models)


PLAN = Plan("running_averages", stretches, work)
