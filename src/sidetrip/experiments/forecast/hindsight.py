"""What a decay would have given, had it begun a window ago: estimates in hindsight, and how good they were.

A merged model is not quite what the decay gives: the run with a falling rate meets other gradients, and snapshots far
apart realise a schedule that is only near to the decay. Both show in merged − cool-down, which earlier cool-downs with
the same decay, window and spacing have measured. An estimate is the merged model's score less their mean, with
Student's prediction interval. Of the runs of all seeds only cool-downs that began at an earlier step are used, so that
neither the cool-down that judges an estimate nor anything after it has a part in it.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import spectra
from sidetrip.experiments.forecast.columns import COOL_DOWN, MERGED, MOMENTARY
from sidetrip.experiments.forecast.sparse import sparse_kernel
from sidetrip.kernels import DECAYS
from sidetrip.loss_forecast import CONFIDENCE, LEAST
from sidetrip.measure.second_order import predict
from sidetrip.verdicts.records import Interval, Table, Tables, Values
from sidetrip.verdicts.scores import METRICS

SCORE = ["decay", "window_steps", "spacing_steps", "metric"]  # what an estimate is of


def prediction_interval(values: Values, confidence: float) -> Interval:
    """Student's interval of the next value like these, about their mean; without ends for fewer than `LEAST`."""
    if len(values) < LEAST:
        return Interval(float(values.mean()) if len(values) else math.nan, -math.inf, math.inf)
    n, mean = len(values), float(values.mean())
    reach = float(stdtrit(n - 1, 0.5 + confidence / 2)) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return Interval(mean, mean - reach, mean + reach)


def compared_with_cool_downs(cool_downs: Table) -> Table:
    """Scores side by side: seed, branch, decay, window_steps, spacing_steps, metric, momentary, merged, cool_down."""
    long = cool_downs.melt(
        ["seed", "branch", "decay", "window_steps", "spacing_steps", "model"], list(METRICS), var_name="metric"
    )
    keys = ["seed", "branch", "window_steps", "metric"]
    by_model = {model: rows.drop(columns="model") for model, rows in long.groupby("model")}
    found = by_model[MERGED].rename(columns={"value": "merged"})
    for model, column, on in ((MOMENTARY, "momentary", keys), (COOL_DOWN, "cool_down", [*keys, "decay"])):
        found = found.merge(by_model[model].rename(columns={"value": column})[[*on, column]], on=on, how="left")
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
    snapshots = tables["merged_snapshots"]
    long = snapshots[snapshots["seed"] == config.seeds[0]].melt(
        ["seed", "step", "decay", "window_steps", "model"], list(METRICS), var_name="metric"
    )
    keys = ["seed", "step", "metric"]
    momentary = long[long["model"] == MOMENTARY].set_index(keys)["value"].rename("momentary")
    merged = long[long["model"] == MERGED].rename(columns={"value": "merged"}).join(momentary, on=keys)
    table = merged.assign(spacing_steps=config.burn_in.snapshot_every)[["seed", "step", *SCORE, "momentary", "merged"]]
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
        gap = prediction_interval(values, CONFIDENCE)
        ends = (merged - gap.value, merged - gap.high, merged - gap.low) if gap.bounded else (math.nan,) * 3
        rows.append((len(values), *ends))
    found = pd.DataFrame(rows, columns=["learned", "estimate", "low", "high"], index=table.index)
    return table.join(found)


def errors(found: Table) -> Table:
    """How far off the momentary and the merged model and the estimate are, and whether the interval holds.

    Parameters
    ----------
    found : DataFrame
        Of `hindsight`.

    Returns
    -------
    DataFrame
        The same rows with off_momentary, off_merged, off_estimate (minus the cool-down; positive: too high) and
        covered (empty where a cool-down diverged).
    """
    off = {f"off_{name}": found[name] - found["cool_down"] for name in ("momentary", "merged", "estimate")}
    return found.assign(**off, covered=covered(found))


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
    rate, momentum = config.burn_in.rate, config.burn_in.optimizer.momentum
    found = []
    for decay, window, spacing, gap, gain in means.reset_index().itertuples(index=False, name=None):
        kernel = sparse_kernel(decay, np.full(window, rate), 0, window, spacing)
        excess = [
            predict(kernel, DECAYS[decay](window), spectrum, rate, momentum)
            for spectrum in spectra(tables["curvature_nodes"]).values()
        ]
        predicted = float(np.mean([each.difference for each in excess]))
        found.append((decay, window, spacing, gap / gain, predicted))
    return pd.DataFrame(found, columns=[*SCORE[:3], "measured", "predicted"])


def of_snapshots(found: Table, config: Config) -> Table:
    """Errors of the estimates of the loss from iterates as far apart as the snapshots, by seed and cool-down."""
    here = (found["metric"] == "loss") & (found["spacing_steps"] == config.burn_in.snapshot_every)
    return errors(found[here]).set_index(["seed", "branch"])
