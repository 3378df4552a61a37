"""Run, averages and trips from the last branch point of every seed, on many batch sequences."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on
from sidetrip.experiments.replicas.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
