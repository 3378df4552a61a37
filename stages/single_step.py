"""Measure the loss along one gradient step at every branch point of every seed."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on
from sidetrip.experiments.single_step.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
