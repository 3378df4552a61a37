"""Whether gradient noise moves the mean of the weights, and parts average and trip by that."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.methods import NAMES
from sidetrip.verdicts.records import Found, Judged, Measured, NotMeasured, Table, Tables
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.scores import TITLES, compared, widest_window
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import all_of, judge_mean
from sidetrip.verdicts.wording import OURS, method_words

STATEMENTS = (
    Statement(
        "noise_lifts_the_mean",
        OURS,
        "the mean of the weights of several runs lies higher than one run on the mean of their gradients; on a "
        "quadratic loss they are one",
        "at the full rate, at the end of SWA's widest window: loss of the mean of the weights − loss of the run on the "
        "mean gradient > 0; training and validation loss",
        "Gradient noise does more than scatter the weights: it moves their mean to where the loss is higher.",
        "Gradient noise does not move the mean of the weights to where the loss is higher.",
    ),
    Statement(
        "noise_favours_the_trip",
        OURS,
        "with less gradient noise the trip gains less on the average",
        "(average − trip) of the means of the weights − (average − trip) of the runs on the mean gradient > 0; "
        "SWA and two-point, training and validation loss",
        "A falling rate lets the mean of the weights come back from where noise holds it; an average does not.",
        "That trips end better than the quadratic model says is not for what noise does to the mean of the weights.",
    ),
)
KEYS = ["seed", "kernel", "window_steps", "split"]
MODELS, MEANS_OF = ("momentary", "average", "trip"), ("weights", "gradients")
DECIDE = ("swa", "two_point")  # where average and trip are not as far apart as the quadratic model says
LIFTED = "swa"


def parts(tables: Tables, config: Config) -> Table:
    """What the mean of the weights and the run on the mean gradient differ by.

    Returns
    -------
    DataFrame
        seed, kernel, window_steps, split; in nats: gain (of the average over the momentary model, of one run, from
        the table `side_trips`), lift (at the full rate, at the end of the window: loss of the mean of the weights −
        that of the run on the mean gradient), of_weights and of_gradients (average − trip of either).
    """
    losses = tables["mean_gradient"].pivot_table(index=KEYS, columns=["model", "mean_of"], values="loss")
    losses = losses.reindex(columns=pd.MultiIndex.from_product([MODELS, MEANS_OF]))
    is_run = losses.index.get_level_values("kernel") == "none"
    of_run, found = losses[is_run].droplevel("kernel")["momentary"], losses[~is_run]
    gaps = (found["average"] - found["trip"]).add_prefix("of_")
    lift = (of_run["weights"] - of_run["gradients"]).rename("lift")
    found = gaps.join(lift).join(_gains(tables, config)).reset_index()
    return found[[*KEYS, "gain", "lift", "of_weights", "of_gradients"]]


def _gains(tables: Tables, config: Config) -> pd.Series:
    """Gain in loss of one run's averages at the last branch point, by `KEYS`."""
    rows, found = tables["side_trips"].query("branch == @config.branch.points[-1]"), {}
    for method in NAMES:
        window = widest_window(rows, method)
        found[method, window] = compared(rows, method, window)["gain"].xs("loss", level="metric").droplevel("branch")
    return pd.concat(found, names=["kernel", "window_steps"]).rename("gain")


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    return {"mean_gradient_parts": parts(tables, config)}


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows noise_lifts_the_mean and noise_favours_the_trip."""
    found = parts(tables, config)
    found["less"] = found["of_weights"] - found["of_gradients"]
    results = {
        "noise_lifts_the_mean": _above_zero(found, "lift", (LIFTED,), config),
        "noise_favours_the_trip": _above_zero(found, "less", DECIDE, config),
    }
    return beside(results, of_run(tables, config))


def _above_zero(found: Table, column: str, methods: tuple[str, ...], config: Config) -> Found:
    """Whether a column is above 0, in the losses of both splits and for each method."""
    judged: dict[str, Measured] = {}
    for method in methods:
        for split, title in TITLES.items():
            values = found[(found["kernel"] == method) & (found["split"] == split)][column].dropna()
            if values.empty:
                return NotMeasured("a trip or the run diverged")
            part = judge_mean(values.to_numpy(float), config.claims, above=0.0)
            judged[f"{method_words(method).title}, {title} loss"] = replace(part, quantity="nats")
    return all_of(judged, config.claims.level)
