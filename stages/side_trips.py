"""Compare averages with side trips at every branch point of every seed."""

from sidetrip.experiments.side_trips.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
