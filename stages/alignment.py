"""Compare gradients of a fixed batch along two side trips from every late branch point of every seed."""

from sidetrip.experiments.alignment.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
