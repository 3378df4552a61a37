"""The main curves as data, for `dvc plots`, which lays those of several experiments over one another.

Each table has a column of what its rows are of, `series`; its template draws a panel for each and a colour for each
experiment.
"""

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.single_step.figure import TITLES, curves, reach
from sidetrip.experiments.single_step.verdict import paper_setting
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.wording import method_words, methods_in_order

ONE_STEP = ["step_size", "loss", "series"]
STRETCHES = 100  # that the main trajectory is shown in


def main_trajectory(batch_losses: pd.DataFrame) -> pd.DataFrame:
    """Losses of the batches of the run, means over seeds and over stretches of steps, by the last step of each."""
    steps = batch_losses["step"]
    length = -(-int(steps.max()) // STRETCHES)
    last = ((steps - 1) // length + 1) * length
    found = batch_losses.assign(step=last.clip(upper=steps.max())).groupby("step")["batch_loss"].mean()
    return found.rename("loss").reset_index().assign(series="batches of the run")


def one_step(single_step: pd.DataFrame, branch: int, batch_size: int) -> pd.DataFrame:
    """Mean losses along one step from a branch point, on its own batch and on held-out ones."""
    rows = paper_setting(single_step).query("branch == @branch and batch_size == @batch_size")
    found = [curves(rows, kind)["mean"].rename("loss").reset_index().assign(series=TITLES[kind]) for kind in TITLES]
    joined = pd.concat(found, ignore_index=True)
    return joined[joined["step_size"] <= reach(rows)]


def averages_and_trips(by_point: pd.DataFrame) -> pd.DataFrame:
    """Validation losses of averages, trips and momentary models, means over seeds and late branch points, by window."""
    rows = by_point.query("late and metric == 'loss' and split == 'validation'")
    models = {"momentary": "momentary model", "average": "average", "trip": "side trip"}
    found = [
        rows[rows["kernel"] == method]
        .groupby("window_steps")[model]
        .mean()
        .rename("loss")
        .reset_index()
        .assign(series=f"{method_words(method).title}: {title}")
        for method in methods_in_order(rows["kernel"])
        for model, title in models.items()
    ]
    return pd.concat(found, ignore_index=True).dropna()


def series(tables: Tables, config: Config) -> dict[str, pd.DataFrame]:
    """The tables by name; each is named in dvc.yaml with its axes, so one that was not measured is there, empty."""
    last, size = config.branch.points[-1], config.burn_in.batch_size
    left_out = "single_step" in config.left_out
    return {
        "main_trajectory": main_trajectory(tables["batch_losses"]),
        "one_step": pd.DataFrame(columns=ONE_STEP) if left_out else one_step(tables["single_step"], last, size),
        "averages_and_trips": averages_and_trips(tables["by_point"]),
    }
