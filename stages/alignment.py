"""Compare gradients of a fixed batch along two side trips from every late branch point of every seed."""

from sidetrip.engine.units import late_branch_points
from sidetrip.experiments.looks import alignment_cost
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("alignment", late_branch_points, alignment_cost)

if __name__ == "__main__":
    STAGE.main()
