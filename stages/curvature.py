"""Measure curvature and gradient noise at every late branch point of every seed."""

from sidetrip.experiments.curvature.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
