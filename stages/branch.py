"""Replay the main trajectory from its snapshots to every branch point."""

from sidetrip.engine.units import runs
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("branch", runs, lambda config, run: len(config.branch.steps))

if __name__ == "__main__":
    STAGE.main()
