"""The measured curvature as the analytic model takes it."""

import pandas as pd

from sidetrip.config import Config
from sidetrip.measure.second_order import Spectrum


def applies(config: Config) -> bool:
    """Whether the analytic model is of the optimizer and the schedule of a variant."""
    return config.burn_in.optimizer.name == "sgd" and config.burn_in.schedule == "constant"


def spectra(nodes: pd.DataFrame) -> dict[int, Spectrum]:
    """Of each seed: the nodes of all starts and branch points, as one."""
    found = {}
    for seed, here in nodes.groupby("seed"):
        starts = here[["branch", "start"]].drop_duplicates().shape[0]
        power = here["power"].to_numpy(float) / starts
        found[int(str(seed))] = Spectrum(here["curvature"].to_numpy(float), power)
    return found
