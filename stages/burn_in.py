"""Train the main trajectory of every seed and keep snapshots."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on
from sidetrip.experiments.burn_in.plan import PLAN
from sidetrip.runtime.experiment import run

if __name__ == "__main__":
    run(PLAN)
