"""Solve and simulate the analytic model."""

from sidetrip.experiments.quadratic_parts import cost, parts
from sidetrip.runtime.experiment import Experiment

STAGE = Experiment("quadratic", parts, lambda config, part: cost(part), trains=False, network=False)

if __name__ == "__main__":
    STAGE.main()
