"""Plan of the branch points: a unit is a main trajectory, replayed from snapshot to branch point."""

from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import points_of, replay_steps, runs
from sidetrip.experiments.work import training

PLAN = Plan("branch", runs, lambda config, run: training(config, replay_steps(config, points_of(config, run.seed))))
