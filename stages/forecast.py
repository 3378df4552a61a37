"""Score what merged snapshots say of a decay of the rate, and run the decays for real."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on
from sidetrip.experiments.forecast.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
