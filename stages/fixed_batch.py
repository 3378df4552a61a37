"""Take full-gradient steps on one fixed batch from each two consecutive late branch points of every seed."""

from sidetrip.engine.units import branch_points_with_a_next
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("fixed_batch", branch_points_with_a_next, lambda config, point: config.fixed_batch.steps)

if __name__ == "__main__":
    STAGE.main()
