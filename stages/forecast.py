"""Score what merged snapshots say of a decay of the rate, and run the decays for real."""

from sidetrip.experiments.cool_downs import forecast_cost, units
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("forecast", units, forecast_cost)

if __name__ == "__main__":
    STAGE.main()
