"""Forecasts of what a decay of the rate would give, and how good they were.

A merged model is not quite what the decay gives: the run with a falling rate meets other gradients, and snapshots far
apart realise a schedule that is only near to the decay. Both show in merged − cool-down, which earlier cool-downs with
the same decay, window and spacing have measured. A forecast is the merged model's score less their mean, with Student's
prediction interval. Of the runs of all seeds only cool-downs that began at an earlier step are used, so that neither
the cool-down that judges a forecast nor anything after it has a part in it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
from scipy.special import stdtrit

from sidetrip.config import Claims, Config
from sidetrip.verdicts.records import Found, Interval, Judged, Measured, Table, Tables, Values, joined
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.scores import METRICS
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import failed, judge_seeds
from sidetrip.verdicts.wording import OURS

STATEMENTS = (
    Statement(
        "forecast_covers",
        OURS,
        "the interval of a forecast holds the loss that the real cool-down reaches",
        "share of cool-downs whose loss lies within their {forecast_confidence:g} interval > {forecast_coverage:g}",
        "Merged snapshots, corrected by earlier cool-downs, tell within their interval what a decay gives.",
        "The intervals of the forecasts hold fewer cool-downs than the criterion asks for.",
    ),
    Statement(
        "forecast_beats_momentary",
        OURS,
        "a forecast is nearer to the loss of the real cool-down than the momentary loss is",
        "mean of |momentary − cool-down| − |forecast − cool-down| > 0 nats",
        "Forecasts are nearer to what a decay gives than the loss of the run as it is.",
        "Forecasts are no nearer to what a decay gives than the loss of the run as it is.",
    ),
    Statement(
        "forecast_beats_merged",
        OURS,
        "a forecast is nearer to the loss of the real cool-down than the merged model without a correction is",
        "mean of |merged − cool-down| − |forecast − cool-down| > 0 nats",
        "What earlier cool-downs taught brings the merged model's loss nearer to that of later ones.",
        "What earlier cool-downs taught does not bring the merged model's loss nearer to that of later ones.",
    ),
)

SCORE = ["decay", "window_steps", "spacing_steps", "metric"]  # what a forecast is of
LEAST = 3  # earlier cool-downs that a forecast needs
NO_FORECAST = f"a forecast needs {LEAST} cool-downs that began earlier"
DIVERGED = "a cool-down diverged"


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
    found = by_model["merged"].rename(columns={"value": "merged"})
    for model, column, on in (("momentary", "momentary", keys), ("cool-down", "cool_down", [*keys, "decay"])):
        found = found.merge(by_model[model].rename(columns={"value": column})[[*on, column]], on=on, how="left")
    return found[["seed", "branch", *SCORE, "momentary", "merged", "cool_down"]]


def forecasts(cool_downs: Table, claims: Claims) -> Table:
    """The forecast of every cool-down that enough others came before.

    Returns
    -------
    DataFrame
        seed, branch, decay, window_steps, spacing_steps, metric; momentary, merged, cool_down; learned (earlier
        cool-downs), forecast, low, high. Losses in nats, accuracies as shares of the pictures.
    """
    compared = compared_with_cool_downs(cool_downs)
    return _with_forecast(compared, compared["branch"], compared, claims).dropna(subset=["low"]).reset_index(drop=True)


def forecast_line(tables: Tables, config: Config) -> Table:
    """Forecasts along the first main trajectory: had the decay begun so that it ends at this step.

    Returns
    -------
    DataFrame
        seed, step, decay, window_steps, spacing_steps, metric; momentary, merged; learned, forecast, low, high,
        the last three empty where too few cool-downs began before the window.
    """
    long = tables["merged_snapshots"].melt(
        ["seed", "step", "decay", "window_steps", "model"], list(METRICS), var_name="metric"
    )
    keys = ["seed", "step", "metric"]
    momentary = long[long["model"] == "momentary"].set_index(keys)["value"].rename("momentary")
    merged = long[long["model"] == "merged"].rename(columns={"value": "merged"}).join(momentary, on=keys)
    table = merged.assign(spacing_steps=config.burn_in.snapshot_every)[["seed", "step", *SCORE, "momentary", "merged"]]
    compared = compared_with_cool_downs(tables["cool_downs"])
    return _with_forecast(table, table["step"] - table["window_steps"], compared, config.claims)


def _with_forecast(table: Table, begins: pd.Series, compared: Table, claims: Claims) -> Table:
    """Rows of a table with learned, forecast, low and high, from the cool-downs that began before each decay."""
    gaps = compared.assign(gap=compared["merged"] - compared["cool_down"]).dropna(subset=["gap"])
    by_score = dict(iter(gaps.groupby(SCORE)))
    rows = []
    keys = table[SCORE].itertuples(index=False, name=None)
    for begin, key, merged in zip(begins, keys, table["merged"], strict=True):
        here = by_score.get(key, gaps.iloc[:0])
        values = here.loc[here["branch"] < begin, "gap"].to_numpy(float)
        gap = prediction_interval(values, claims.forecast_confidence)
        ends = (merged - gap.value, merged - gap.high, merged - gap.low) if gap.bounded else (math.nan,) * 3
        rows.append((len(values), *ends))
    found = pd.DataFrame(rows, columns=["learned", "forecast", "low", "high"], index=table.index)
    return table.join(found)


def errors(found: Table) -> Table:
    """How far off the momentary and the merged model and the forecast are, and whether the interval holds.

    Parameters
    ----------
    found : DataFrame
        Of `forecasts`.

    Returns
    -------
    DataFrame
        The same rows with off_momentary, off_merged, off_forecast (minus the cool-down; positive: too high) and
        covered (empty where a cool-down diverged).
    """
    off = {f"off_{name}": found[name] - found["cool_down"] for name in ("momentary", "merged", "forecast")}
    covered = found["cool_down"].between(found["low"], found["high"]).astype(float)
    return found.assign(**off, covered=covered.where(found["cool_down"].notna()))


def of_snapshots(tables: Tables, config: Config) -> Table:
    """Errors of the forecasts of the loss from iterates as far apart as the snapshots, by seed and cool-down."""
    found = errors(tables["forecasts"])
    here = (found["metric"] == "loss") & (found["spacing_steps"] == config.burn_in.snapshot_every)
    return found[here].set_index(["seed", "branch"])


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    return {
        "forecasts": forecasts(tables["cool_downs"], config.claims),
        "forecast_line": forecast_line(tables, config),
    }


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows forecast_*: means over cool-downs, decays and windows, the seed the unit."""
    found = of_snapshots(tables, config)
    known = found.dropna(subset=["cool_down"])
    absolute = known[["off_momentary", "off_merged", "off_forecast"]].abs()
    detail = f"{len(known)} forecasts, {int(known['covered'].sum())} within their interval"
    results: dict[str, Found] = {
        "forecast_covers": judge_seeds(
            known["covered"], config.claims, NO_FORECAST, above=config.claims.forecast_coverage
        ),
    }
    for name in ("momentary", "merged"):
        nearer = absolute[f"off_{name}"] - absolute["off_forecast"]
        judged = judge_seeds(nearer, config.claims, NO_FORECAST, above=0.0)
        results[f"forecast_beats_{name}"] = replace(judged, quantity="nats") if isinstance(judged, Measured) else judged
    if len(known) < len(found):
        results = {name: failed(row, DIVERGED) for name, row in results.items()}
    results["forecast_covers"] = _told(results["forecast_covers"], detail)
    return beside(results, of_run(tables, config))


def _told(found: Found, detail: str) -> Found:
    """The row with what else a reader should know."""
    return replace(found, detail=joined(detail, found.detail)) if isinstance(found, Measured) else found
