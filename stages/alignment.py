"""Compare gradients of a fixed batch along two side trips from every branch point of every seed."""

from sidetrip.engine.units import branch_points
from sidetrip.experiments.looks import alignment_cost
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("alignment", branch_points, alignment_cost)

if __name__ == "__main__":
    STAGE.main()
