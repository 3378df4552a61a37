"""The regime that a row was measured in: it stands beside every verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import Found, Judged, Regime, Table, Tables
from sidetrip.verdicts.scores import of_score


def rates_over_batch(batch_losses: Table, config: Config) -> pd.Series:
    """λ/B of the main trajectory, by step; at a branch point it is that of the step that leads there."""
    rate = batch_losses.groupby("step")["rate"].first() / config.burn_in.batch_size
    return pd.concat([pd.Series({0: rate.iloc[0]}), rate])


def of_run(tables: Tables, config: Config) -> Regime:
    """λ/B, mean over the late branch points."""
    rates = rates_over_batch(tables["batch_losses"], config)
    return Regime(rate_over_batch=float(rates.reindex(config.branch.points).mean()))


def of_window(tables: Tables, config: Config, window: int, scores: Table) -> Regime:
    """The regime of a window and its scores, of `late_scores`; fall and gain are of the validation loss."""
    points = [step for step in config.branch.points if step]
    fall, gain = of_score(scores, "loss", "validation")[["fall", "gain"]].mean()
    return replace(
        of_run(tables, config),
        window_over_branch=window / min(points) if points else None,
        window_over_branch_least=window / max(points) if points else None,
        fall_over_gain=float(fall / gain) if gain > 0 and math.isfinite(fall) else None,
    )


def of_trip(tables: Tables, config: Config, steps: int) -> Regime:
    """The regime of trips of so many steps from the late branch points."""
    points = [step for step in config.branch.points if step]
    return replace(of_run(tables, config), trip_over_branch=steps / min(points) if points else None)


def beside(results: Mapping[str, Found], regime: Regime) -> Judged:
    """The rows with their regime."""
    return {name: replace(found, regime=regime) for name, found in results.items()}
