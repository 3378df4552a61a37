"""Compare averages with side trips at every branch point of every seed."""

from sidetrip.engine.units import branch_points
from sidetrip.experiments.cases import trip_steps
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("side_trips", branch_points, lambda config, point: trip_steps(config))

if __name__ == "__main__":
    STAGE.main()
