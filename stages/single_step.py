"""Measure the loss along one gradient step at every branch point of every seed."""

from sidetrip.engine.units import branch_points
from sidetrip.experiments.sweep import sweep_cost
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("single_step", branch_points, sweep_cost, trains=False)

if __name__ == "__main__":
    STAGE.main()
