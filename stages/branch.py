"""Replay the main trajectory from its snapshots to every branch point."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on
from sidetrip.experiments.branch.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
