"""Plan of the replicas: run, averages and trips from the last branch point of every seed, on many batch sequences."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.side_trips.plan import Case, cases, longest, shared_trips, widest
from sidetrip.experiments.units import BranchPoint, last_branch_points
from sidetrip.experiments.work import Work, scoring, training

MEANS = ["seed", "branch", "kernel", "window_steps", "model", "split", "loss", "accuracy"]
REPLICAS = [*MEANS[:5], "replica", *MEANS[5:]]


def compared(config: Config) -> list[Case]:
    """The widest average of each method."""
    return widest(cases(config))


def windows(config: Config) -> list[int]:
    """Steps after which the run itself is scored: those of the averages, ascending."""
    return sorted({case.window for case in compared(config)})


def as_far(case: Case) -> int:
    """Steps after which the rates of the run add up to those of the trip of a case, or nearly so."""
    return max(1, round(float(case.kernel.schedule().multipliers.sum())))


def work_on(config: Config, sequences: int, scored: int) -> Work:
    """Run and trips on so many batch sequences, where the models of so many sequences and means are scored."""
    steps = longest(config) + sum(schedule.steps for schedule, _ in shared_trips(compared(config)))
    models = len(windows(config)) + 3 * len(compared(config))
    return training(config, sequences * steps) + scoring(config, scored * models)


def work(config: Config, point: BranchPoint) -> Work:
    """The run and the trips of every replica, all models that are scored, and their means."""
    return work_on(config, config.replicas.number, config.replicas.number + 1)


PLAN = Plan("replicas", last_branch_points, work)
