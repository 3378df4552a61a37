"""Train the main trajectory of every seed and keep snapshots."""

from sidetrip.experiments.burn_in.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
