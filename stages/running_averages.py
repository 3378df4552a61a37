"""Score averages and momentary models all along the main trajectory of the first seed."""

from sidetrip.experiments.running_averages.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
