"""Follow an independent trip from every late branch point of every seed to the end of the run."""

from sidetrip.experiments.divergence.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
