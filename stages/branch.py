"""Replay the main trajectory from its snapshots to every branch point."""

from sidetrip.experiments.branch.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
