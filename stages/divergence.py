"""Follow an independent trip from every branch point of every seed through weight space."""

from sidetrip.engine.units import branch_points
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("divergence", branch_points, lambda config, point: config.side_trips.two_point_windows[-1])

if __name__ == "__main__":
    STAGE.main()
