"""Statements about the gradients of a fixed batch (Fig. 7 of DOI 10.48550/arXiv.2301.02312)."""

import numpy as np
import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.records import POINT, Found, Judged, NotMeasured, Table, Tables
from sidetrip.verdicts.regime import beside, of_trip
from sidetrip.verdicts.statistics import all_of, by_seed, failed, judge_mean, judge_seeds, late

TRIPS = {"constant": "the trip at the run's rate", "linear": "the trip with a linear decay"}
NAMES = ("fixed_gradient_norm", "fixed_gradient_direction", "trips_aligned", "batch_gradients_orthogonal")


def norm_changes(along: Table) -> pd.Series:
    """Log of the gradient norm's mean over the second half of a trip ÷ over the first; by point, trip, fixed batch."""

    def change(curve: Table) -> float:
        middle = curve["trip_step"].max() / 2
        first, second = (
            curve.loc[half, "fixed_norm"].mean() for half in (curve["trip_step"] <= middle, curve["trip_step"] > middle)
        )
        return float(np.log(second / first)) if first and second else np.nan  # without a gradient there is no share

    return along.groupby([*POINT, "trip", "fixed_batch"])[["trip_step", "fixed_norm"]].apply(change)


def shares_aligned(along: Table, least: float) -> pd.Series:
    """Share of the looks after the first with a cosine above `least`, of those that have one; by seed, branch, trip."""
    later = along[along["trip_step"] > 0]
    aligned = (later["fixed_cosine"] > least).astype(float).where(later["fixed_cosine"].notna())
    return aligned.groupby([later[key] for key in (*POINT, "trip")]).mean()


def between_minus_first(tables: Tables) -> pd.Series:
    """Cosine of a fixed batch's gradients between the trips at equal step − cosine with the first gradient.

    Mean over fixed batches, the looks after the first, the constant and the linear trip; by seed and branch point.
    """
    between = tables["between_trips"].query("trip_step > 0").groupby(POINT)["fixed_cosine"].mean()
    first = tables["alignment"].query("trip_step > 0").groupby(POINT)["fixed_cosine"].mean()
    return between - first


def _each_trip(values: pd.Series, config: Config, **limits: float) -> Found:
    """All trips are to lie within the limits, each judged over seeds."""
    means = {trip: by_seed(of_trip.droplevel("trip")) for trip, of_trip in values.groupby(level="trip", sort=False)}
    if any(found.empty for found in means.values()):
        return NotMeasured("every gradient of a fixed batch is 0 along a trip, so that it has no direction")
    parts = {
        TRIPS[str(trip)]: judge_mean(found.to_numpy(float), config.claims, **limits) for trip, found in means.items()
    }
    return all_of(parts, config.claims.level)


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows fixed_gradient_*, trips_aligned and batch_gradients_orthogonal.

    A trip that diverged keeps neither norm nor direction: with one among them nothing is reproduced.
    """
    regime = of_trip(tables, config, config.alignment.steps)
    here = {name: late(tables[name], config.branch.points) for name in ("alignment", "between_trips")}
    along, claims = here["alignment"], config.claims
    trips = along.groupby([*POINT, "trip"])["diverged"].transform("any")
    whole = along[~trips]
    if whole.empty:
        return beside(dict.fromkeys(NAMES, NotMeasured("every trip diverged")), regime)
    kept = here | {"alignment": whole}
    results = {
        "fixed_gradient_norm": _each_trip(
            norm_changes(whole), config, below=claims.fixed_gradient_norm, above=-claims.fixed_gradient_norm
        ),
        "fixed_gradient_direction": _each_trip(
            shares_aligned(whole, claims.fixed_gradient_cosine), config, above=claims.fixed_gradient_direction
        ),
        "trips_aligned": judge_seeds(between_minus_first(kept), claims, "no two trips are left to compare", above=0.0),
        "batch_gradients_orthogonal": _each_trip(
            whole.set_index([*POINT, "trip"])["different_batches_cosine"],
            config,
            below=claims.batch_gradients_orthogonal,
            above=-claims.batch_gradients_orthogonal,
        ),
    }
    if trips.any():
        results = {name: failed(found, "a trip diverged") for name, found in results.items()}
    return beside(results, regime)
