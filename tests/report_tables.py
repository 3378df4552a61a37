"""All tables of a small variant, made by hand, as figures and report take them."""

from collections import ChainMap
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import verdict_tables as made

from sidetrip.config import Config
from sidetrip.experiments.claims import derived

GROUPS = range(4)
FLOORS = {"large_rate": 0.01, "small_rate": 0.02, "ema": 0.001}  # stationary losses


def all_tables(settings: Config | None = None, **changes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of all experiments that a variant has, some of them changed, and those derived from them."""
    if settings is None and not changes:
        return {name: table.copy() for name, table in unchanged().items()}
    settings = settings or made.config()
    there = [tables for name, tables in by_experiment().items() if name not in settings.left_out]
    tables = {name: table.copy() for name, table in ChainMap(*there).items()} | changes
    return tables | derived(tables, settings)


@cache
def unchanged() -> dict[str, pd.DataFrame]:
    """All tables of the settings that most tests take; to be copied."""
    return all_tables(made.config())


@cache
def by_experiment() -> dict[str, dict[str, pd.DataFrame]]:
    """The tables that stages leave; to be copied."""
    return {
        "burn_in": {"batch_losses": made.batch_losses()},
        "running_averages": {"running_averages": made.running_averages()},
        "side_trips": {"side_trips": made.side_trips(), "distances": made.distances()},
        "single_step": made.single_step(),
        "fixed_batch": {"fixed_batch": made.fixed_batch()},
        "divergence": made.divergence(),
        "alignment": made.alignment(),
        "curvature": {"curvature_nodes": made.curvature_nodes()},
        "replicas": made.replicas(),
        "mean_gradient": {"mean_gradient": made.mean_gradient()},
        "quadratic": quadratic(),
        "forecast": made.forecast_tables(),
    }


def quadratic() -> dict[str, pd.DataFrame]:
    """The analytic model where every formula holds, up to a little noise between the groups."""
    radii, scales, covariances = [], [], []
    for group in GROUPS:
        wobble = 1 + 0.01 * (-1) ** group
        for model, rate in product(("identity", "random"), (0.01, 0.04)):
            radii.append((model, rate, group, rate / (2 - rate) * wobble, rate / (2 - rate)))
        for step, (run, floor) in product(range(0, 401, 50), FLOORS.items()):
            loss = (np.exp(-0.01 * step) + floor) * wobble
            scales += [(step, run, coordinate, group, loss) for coordinate in ("fast", "slow")]
        for case in product(("symmetric", "non_symmetric"), ("two-point", "n-point", "EMA"), ("exact", "eq_19")):
            covariances.append((*case, group, wobble))
    lemma_2 = {"momentum": [0.0, 0.9], "kernel": [0, 1], "steps": [5, 6], "smallest_weight": -1.0}
    lemma_2 |= {"largest_difference": [1e-16, 2e-16], "reversed_difference": [1.0, 2.0], "shuffled_difference": 1.0}
    drift = {"step": [1, 2], "relative_difference": 1e-16, "mean_cross_term": 1e-5, "standard_error": 1e-4}
    cloud = np.random.default_rng(0).standard_normal((20, 4))
    return {
        "lemma_1": pd.DataFrame(radii, columns=["model", "rate", "group", "mean_square_radius", "exact"]),
        "lemma_2": pd.DataFrame(lemma_2),
        "drag_and_drift": pd.DataFrame(drift),
        "midpoint_ratios": pd.DataFrame({"group": GROUPS, "ratio": [0.70 + 0.007 * (group % 3) for group in GROUPS]}),
        "stationary_points": pd.DataFrame(cloud, columns=["first_x", "first_y", "second_x", "second_y"]),
        "two_scales": pd.DataFrame(scales, columns=["step", "run", "coordinate", "group", "loss"]),
        "appendix_a": pd.DataFrame(covariances, columns=["omega", "kernel", "formula", "group", "ratio"]),
    }
