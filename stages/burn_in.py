"""Train the main trajectory of every seed and keep snapshots."""

from sidetrip.engine.units import runs
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("burn_in", runs, lambda config, run: config.burn_in.steps)

if __name__ == "__main__":
    STAGE.main()
