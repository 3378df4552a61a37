"""Follow an independent trip from every late branch point of every seed to the end of the run."""

from sidetrip.engine.units import late_branch_points
from sidetrip.experiments.looks import divergence_cost
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("divergence", late_branch_points, divergence_cost)

if __name__ == "__main__":
    STAGE.main()
