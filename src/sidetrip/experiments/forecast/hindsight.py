"""What a decay would have given, had it begun a window ago: estimates in hindsight, and how good they were.

A merged model is not quite what the decay gives: the run with a falling rate meets other gradients, and snapshots far
apart realise a schedule that is only near to the decay. Both show in merged − cool-down, which earlier cool-downs with
the same decay, window and spacing have measured. An estimate is the merged model's score less their mean, with
Student's prediction interval. Of the runs of all seeds only cool-downs that began at an earlier step are used, so that
neither the cool-down that judges an estimate nor anything after it has a part in it.
"""

import math

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import spectra
from sidetrip.experiments.forecast.sparse import predicted_difference
from sidetrip.loss_forecast import CONFIDENCE, LEAST
from sidetrip.verdicts.records import Table, Tables, Values
from sidetrip.verdicts.scores import METRICS

SCORE = ["decay", "window_steps", "spacing_steps", "metric"]  # what an estimate is of


def prediction_interval(values: Values) -> tuple[float, float, float]:
    """Mean, and Student's interval of the next value like these; nan for fewer than `LEAST`."""
    if (n := len(values)) < LEAST:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    reach = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return mean, mean - reach, mean + reach


def scores_of(table: Table, model: str, column: str, keys: list[str]) -> Table:
    """Scores of one model: the keys, metric, and the column that they get."""
    return table[table["model"] == model].melt(keys, list(METRICS), var_name="metric", value_name=column)


def compared_with_cool_downs(cool_downs: Table) -> Table:
    """Scores side by side: seed, branch, decay, window_steps, spacing_steps, metric, momentary, merged, cool_down."""
    keys = ["seed", "branch", "window_steps"]
    found = scores_of(cool_downs, "merged", "merged", [*keys, "decay", "spacing_steps"])
    found = found.merge(scores_of(cool_downs, "momentary", "momentary", keys), how="left")
    found = found.merge(scores_of(cool_downs, "cool-down", "cool_down", [*keys, "decay"]), how="left")
    return found[["seed", "branch", *SCORE, "momentary", "merged", "cool_down"]]


def hindsight(cool_downs: Table) -> Table:
    """The estimate for every cool-down that enough others came before.

    Returns
    -------
    DataFrame
        seed, branch, decay, window_steps, spacing_steps, metric; momentary, merged, cool_down; learned (earlier
        cool-downs), estimate, low, high. Losses in nats, accuracies as shares of the pictures.
    """
    compared = compared_with_cool_downs(cool_downs)
    return _with_estimate(compared, compared["branch"], compared).dropna(subset=["low"]).reset_index(drop=True)


def hindsight_line(tables: Tables, config: Config) -> Table:
    """Estimates along the first main trajectory: had the decay begun so that it ends at this step.

    Returns
    -------
    DataFrame
        seed, step, decay, window_steps, spacing_steps, metric; momentary, merged; learned, estimate, low, high,
        the last three empty where too few cool-downs began before the window.
    """
    snapshots, keys = tables["merged_snapshots"], ["seed", "step"]
    snapshots = snapshots[snapshots["seed"] == config.seeds[0]]
    merged = scores_of(snapshots, "merged", "merged", [*keys, "decay", "window_steps"])
    table = merged.merge(scores_of(snapshots, "momentary", "momentary", keys), how="left")
    table = table.assign(spacing_steps=config.burn_in.snapshot_every)[[*keys, *SCORE, "momentary", "merged"]]
    compared = compared_with_cool_downs(tables["cool_downs"])
    return _with_estimate(table, table["step"] - table["window_steps"], compared)


def _with_estimate(table: Table, begins: pd.Series, compared: Table) -> Table:
    """Rows of a table with learned, estimate, low and high, from the cool-downs that began before each decay."""
    gaps = compared.assign(gap=compared["merged"] - compared["cool_down"]).dropna(subset=["gap"])
    by_score = dict(iter(gaps.groupby(SCORE)))
    rows = []
    keys = table[SCORE].itertuples(index=False, name=None)
    for begin, key, merged in zip(begins, keys, table["merged"], strict=True):
        here = by_score.get(key, gaps.iloc[:0])
        values = here.loc[here["branch"] < begin, "gap"].to_numpy(float)
        gap, low, high = prediction_interval(values)
        rows.append((len(values), merged - gap, merged - high, merged - low))
    found = pd.DataFrame(rows, columns=["learned", "estimate", "low", "high"], index=table.index)
    return table.join(found)


def covered(found: Table) -> pd.Series:
    """1.0 where the cool-down lies from low to high, 0.0 where it does not, empty where it diverged."""
    held = found["cool_down"].between(found["low"], found["high"]).astype(float)
    return held.where(found["cool_down"].notna())


def staircases(tables: Tables, config: Config) -> Table:
    """Where averages of sparse iterates and cool-downs part, measured and as the analytic model predicts it.

    Returns
    -------
    DataFrame
        decay, window_steps, spacing_steps; measured ((merged − cool-down) ÷ (momentary − merged), validation loss, each
        the mean of all seeds and steps), predicted (mean over seeds, by the curvature at all late branch points).
    """
    table = compared_with_cool_downs(tables["cool_downs"]).query("metric == 'loss'").dropna(subset=["cool_down"])
    gaps = table.assign(gap=table["merged"] - table["cool_down"], gain=table["momentary"] - table["merged"])
    means = gaps.groupby(SCORE[:3])[["gap", "gain"]].mean()
    found, by_seed = [], spectra(tables["curvature_nodes"]).values()
    for decay, window, spacing, gap, gain in means.reset_index().itertuples(index=False, name=None):
        excess = [predicted_difference(config, decay, window, spacing, spectrum) for spectrum in by_seed]
        found.append((decay, window, spacing, gap / gain, float(np.mean(excess))))
    return pd.DataFrame(found, columns=[*SCORE[:3], "measured", "predicted"])
