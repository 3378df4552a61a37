"""Plan of the burn-in: a unit is a main trajectory."""

from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import runs
from sidetrip.experiments.work import training

PLAN = Plan("burn_in", runs, lambda config, run: training(config, config.burn_in.steps))
