"""Solve and simulate the analytic model."""

from sidetrip.experiments.quadratic.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
