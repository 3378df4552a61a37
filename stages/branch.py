"""Replay the main trajectory from its snapshots to every branch point."""

from sidetrip.engine.units import points_of, runs
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("branch", runs, lambda config, run: len(points_of(config, run.seed)))

if __name__ == "__main__":
    STAGE.main()
