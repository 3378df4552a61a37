"""What became of the sealed forecasts: the real cool-downs, the rivals, and what a decay buys."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sidetrip.config import Config
from sidetrip.experiments.forecast.hindsight import covered, scores_of
from sidetrip.kernels import Schedule
from sidetrip.loss_forecast import LEAST, CoolDown, Losses
from sidetrip.measure.multi_power_law import predicted, warmed_up
from sidetrip.verdicts.records import Table, Tables

KEYS = ["seed", "branch", "decay", "window_steps", "metric"]
RIVALS = {  # columns that a forecast is held against, in words
    "momentary": "the loss of the run as it is",
    "merged": "the loss of the merged snapshots now",
    "drifted": "the merged loss with its drift, without what earlier cool-downs taught",
    "power_law": "the multi-power law fitted to the same losses",
}


def outcomes(tables: Tables, config: Config) -> Table:
    """Every forecast beside what the real cool-down reached, and beside its rivals.

    Returns
    -------
    DataFrame
        The columns of the sealed forecasts; given (whether it is the one that `sidetrip.forecast` gives: learned where
        that could be, else without a correction); cool_down; drifted (merged now and its drift alone); power_law (the
        multi-power law, of losses, where at least three cool-downs of the run had ended); covered (empty where the
        cool-down diverged); steps_bought (after which the run at its rate was first scored at the cool-down's score or
        better; empty: not by its end).
    """
    found = tables["sealed_forecasts"]
    kinds = found.groupby(KEYS)["correction"].transform(lambda here: "learned" if "learned" in set(here) else "none")
    found = found.assign(given=found["correction"] == kinds)
    found = found.merge(scores_of(tables["cool_downs"], "cool-down", "cool_down", KEYS[:4]), on=KEYS, how="left")
    plain = found[found["correction"] == "none"].set_index(KEYS)["forecast"].rename("drifted")
    found = found.join(plain, on=KEYS)
    law = pd.DataFrame(_power_laws(tables, config), columns=[*KEYS, "power_law"])
    found = found.merge(law.astype({"power_law": float}), on=KEYS, how="left")
    found["covered"] = covered(found)
    found["steps_bought"] = [_steps_bought(tables["merged_snapshots"], row) for row in found.itertuples()]
    return found


def _power_laws(tables: Tables, config: Config) -> Iterator[tuple[object, ...]]:
    """The law's losses, fitted at each step where decays begin to what the run had shown by then."""
    looks, downs, sealed = (tables[name] for name in ("merged_snapshots", "cool_downs", "sealed_forecasts"))
    looks = looks[looks["model"] == "momentary"]
    downs = downs[downs["model"] == "cool-down"].dropna(subset=["loss"])
    own = _relative_rates(config)
    for seed, begin in sealed[["seed", "branch"]].drop_duplicates().itertuples(index=False, name=None):
        seen = looks[(looks["seed"] == seed) & (looks["step"] <= begin)]
        ended = downs[(downs["seed"] == seed) & (downs["branch"] + downs["window_steps"] <= begin)]
        if len(ended) < LEAST:
            continue
        earlier = ended[["branch", "window_steps", "decay", "loss"]].itertuples(index=False, name=None)
        here = sealed[(sealed["seed"] == seed) & (sealed["branch"] == begin)]
        wanted = list(here[["decay", "window_steps"]].drop_duplicates().itertuples(index=False, name=None))
        losses = Losses(seen["step"].to_numpy(), seen["loss"].to_numpy())
        ends = predicted(own, losses, [CoolDown(*each) for each in earlier], begin, wanted)
        for each, loss in zip(wanted, ends, strict=True):
            yield seed, begin, *each, "loss", loss


def _relative_rates(config: Config) -> np.ndarray:
    """Rates of all steps of a run, relative to `burn_in.rate`."""
    settings = config.burn_in
    multipliers: np.ndarray = getattr(Schedule, settings.schedule)(settings.steps).multipliers
    return multipliers * warmed_up(settings.steps, settings.warm_up)


def _steps_bought(looks: Table, row: object) -> float:
    seed, branch, metric, goal = (getattr(row, name) for name in ("seed", "branch", "metric", "cool_down"))
    after = looks[(looks["seed"] == seed) & (looks["step"] > branch) & (looks["model"] == "momentary")]
    reached = after[metric] <= goal if metric == "loss" else after[metric] >= goal
    return float(after.loc[reached, "step"].min() - branch) if reached.any() else math.nan


def cells(found: Table, config: Config) -> Table:
    """How good forecasts of the loss are, by decay, window, spacing of the snapshots, and correction; of `outcomes`.

    Returns
    -------
    DataFrame
        decay, window_steps, spacing_steps, correction; n (cool-downs), covered (how many lie in their interval),
        covered_low, covered_high (of the share, Clopper and Pearson's interval); bias and error of the forecast (mean
        of forecast − cool-down, root of the mean square), and error_ of each rival, over the n_power_law of them that
        have it for the power law.
    """
    known = found.query("metric == 'loss'").dropna(subset=["cool_down"])
    rows = []
    for (decay, window, correction), here in known.groupby(["decay", "window_steps", "correction"], sort=False):
        held = int(here["covered"].sum())
        share = binomtest(held, len(here)).proportion_ci(config.claims.confidence)
        off = here[["forecast", *RIVALS]].sub(here["cool_down"], axis=0)
        error = (off**2).mean() ** 0.5
        row = (decay, window, config.burn_in.snapshot_every, correction, len(here), held, share.low, share.high)
        rows.append((*row, off["forecast"].mean(), *error, int(off["power_law"].count())))
    columns = ["decay", "window_steps", "spacing_steps", "correction", "n", "covered", "covered_low", "covered_high"]
    return pd.DataFrame(rows, columns=[*columns, "bias", "error", *(f"error_{name}" for name in RIVALS), "n_power_law"])
