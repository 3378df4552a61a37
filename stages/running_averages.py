"""Score averages and momentary models all along the main trajectory of the first seed."""

from sidetrip.experiments.cases import stretch_steps, stretches
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("running_averages", stretches, stretch_steps)

if __name__ == "__main__":
    STAGE.main()
