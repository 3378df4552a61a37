"""Whether forecasts of a decay that begins now, and estimates in hindsight, come true."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from scipy.stats import binomtest

from sidetrip.config import Claims, Config
from sidetrip.experiments.curvature.model import applies
from sidetrip.experiments.forecast.hindsight import covered, hindsight, hindsight_line, staircases
from sidetrip.experiments.forecast.outcomes import RIVALS, cells, outcomes
from sidetrip.loss_forecast import CONFIDENCE, LEAST
from sidetrip.verdicts.records import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Found,
    Interval,
    Judged,
    Measured,
    Table,
    Tables,
    joined,
)
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import by_seed, failed, judge_seeds
from sidetrip.verdicts.wording import OURS

PAST = {"momentary": RIVALS["momentary"], "merged": "the merged model without a correction"}


def _covers(name: str, subject: str, plural: str) -> Statement:
    return Statement(
        name,
        OURS,
        f"the interval of {subject} holds the loss that the real cool-down reaches",
        f"share of cool-downs whose loss lies within their {100 * CONFIDENCE:g} % interval > {{forecast_coverage:g}}",
        f"{plural} have intervals that hold what the decay reaches as often as the criterion asks for.",
        f"{plural} have intervals that hold what the decay reaches less often than the criterion asks for.",
    )


def _beats(name: str, subject: str, plural: str, rival: str) -> Statement:
    return Statement(
        name,
        OURS,
        f"{subject} is nearer to the loss of the real cool-down than {rival}",
        "mean of |rival − cool-down| − |this − cool-down| > 0 nats",
        f"{plural} are nearer to what a decay gives than {rival}.",
        f"{plural} are farther from what a decay gives than {rival}.",
    )


FORECAST = ("a forecast of a decay that begins now", "Forecasts")
ESTIMATE = ("an estimate in hindsight", "Estimates in hindsight")
STATEMENTS = (
    _covers("forecast_covers", *FORECAST),
    *(_beats(f"forecast_beats_{name}", *FORECAST, rival) for name, rival in RIVALS.items()),
    _covers("hindsight_covers", *ESTIMATE),
    *(_beats(f"hindsight_beats_{name}", *ESTIMATE, rival) for name, rival in PAST.items()),
)
DIVERGED = "a cool-down diverged"
TOO_FEW = "no run had enough losses before its cool-downs"
WHY_NOT = {
    "drifted": f"no forecast had {LEAST} cool-downs of its run to learn from",
    "power_law": f"no run had {LEAST} cool-downs to fit the law to",
}


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    found = outcomes(tables, config)
    modelled = applies(config) and "curvature_nodes" in tables
    return {
        "forecasts": found,
        "forecast_cells": cells(found, config),
        "hindsight": hindsight(tables["cool_downs"]),
        "hindsight_line": hindsight_line(tables, config),
        **({"staircases": staircases(tables, config)} if modelled else {}),
    }


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows forecast_* and hindsight_*: means over cool-downs, decays and windows, the seed the unit."""
    forecasts = tables["forecasts"].query("given and metric == 'loss'").set_index(["seed", "branch"])
    why_not = {name: joined(TOO_FEW, WHY_NOT.get(name, "")) for name in (*RIVALS, "covers")}
    learned = forecasts.assign(drifted=forecasts["drifted"].where(forecasts["cool_downs"] > 0))
    found = _judged("forecast", learned, "forecast", list(RIVALS), config, why_not)
    past = tables["hindsight"]
    past = past[(past["metric"] == "loss") & (past["spacing_steps"] == config.burn_in.snapshot_every)]
    past = past.assign(covered=covered(past)).set_index(["seed", "branch"])
    earlier = dict.fromkeys((*PAST, "covers"), f"an estimate needs {LEAST} cool-downs that began earlier")
    found |= _judged("hindsight", past, "estimate", list(PAST), config, earlier)
    return beside(found, of_run(tables, config))


def _judged(
    prefix: str, table: Table, value: str, rivals: list[str], config: Config, why_not: Mapping[str, str]
) -> dict[str, Found]:
    """Rows on one kind of forecast: whether its intervals hold, and whether it is nearer than each rival."""
    known = table.dropna(subset=["cool_down"])
    found: dict[str, Found] = {f"{prefix}_covers": _coverage(known["covered"], config.claims, why_not["covers"])}
    off = known[[*rivals, value]].sub(known["cool_down"], axis=0).abs()
    for rival in rivals:
        nearer = (off[rival] - off[value]).dropna()
        row = judge_seeds(nearer, config.claims, why_not[rival], above=0.0)
        found[f"{prefix}_beats_{rival}"] = replace(row, quantity="nats") if isinstance(row, Measured) else row
    if len(known) < len(table):
        found = {name: failed(row, DIVERGED) for name, row in found.items()}
    if isinstance(row := found[f"{prefix}_covers"], Measured):
        detail = f"{len(known)} decays, {int(known['covered'].sum())} within their interval"
        found[f"{prefix}_covers"] = replace(row, detail=joined(detail, row.detail))
    return found


def _coverage(covered: pd.Series, claims: Claims, why_not: str) -> Found:
    """The row of a share; seeds that all have the same one show no spread, and then each is a single trial."""
    found, shares = judge_seeds(covered, claims, why_not, above=claims.forecast_coverage), by_seed(covered)
    if not isinstance(found, Measured):
        return found
    if found.n < 2 or shares.max() > shares.min():
        shown = found.interval
        return replace(found, interval=Interval(shown.value, max(0.0, shown.low), min(1.0, shown.high)))
    held = math.floor(shares.sum() + 1e-9)
    share = binomtest(held, found.n).proportion_ci(claims.confidence)
    above, under = share.low > claims.forecast_coverage, share.high < claims.forecast_coverage
    return replace(
        found,
        interval=Interval(found.interval.value, share.low, share.high),
        verdict=REPRODUCED if above else NOT_REPRODUCED if under else UNDECIDED,
        detail="all seeds have the same share, so each counts as one trial (Clopper and Pearson)",
        seeds_needed=None,
    )
