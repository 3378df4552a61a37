"""Score averages and momentary models all along the main trajectory of the first seed."""

from sidetrip.experiments.cases import longest, windows
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("running_averages", windows, lambda config, window: longest(config))

if __name__ == "__main__":
    STAGE.main()
