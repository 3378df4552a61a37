"""The main trajectory replayed from its snapshots to every branch point."""

import pandas as pd

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import save_state, state_path
from sidetrip.experiments.units import Run, points_of
from sidetrip.experiments.work import each_step


def measure(lab: Lab, run: Run) -> dict[str, pd.DataFrame]:
    """Write the state at every branch point of a run to seed_<seed>/; no tables."""
    for state in lab.replay(run.seed, points_of(lab.config, run.seed), [each_step(lab)]):
        save_state(state, state_path(lab.folders.result / f"seed_{run.seed}", state.step))
    return {}
