"""Statements about one step (Fig. 2, 12, 13 of DOI 10.48550/arXiv.2301.02312)."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.polynomial import Polynomial

from sidetrip.config import Claims, Config
from sidetrip.verdicts.records import POINT, Found, Judged, Measured, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import all_of, by_seed, failed, judge_mean, judge_seeds, late
from sidetrip.verdicts.wording import OURS

SETTING = ["direction", "batchnorm"]
BATCH = [*POINT, "batch_size", "own_batch"]
CLOSE = 0.05  # relative distance within which the parabola from slope and curvature counts as valid
NEARLY_ALL = 0.999  # R² from which on a polynomial's degree counts as enough
HIGHEST_DEGREE = 6
KINDS = ("own", "held_out")
BATCHNORM = {"frozen": "frozen", "batch": "in training mode"}  # statistics
STATEMENTS = (
    Statement(
        "own_gap_is_batchnorm",
        OURS,
        "part of the gap between own and held-out batches is BatchNorm in training mode",
        "held-out ÷ own best relative drop with BatchNorm frozen at recalibrated statistics, minus that in training "
        "mode > 0",
        "With frozen statistics held-out batches gain a larger share of what the own batch gains.",
        "With frozen statistics held-out batches do not gain a larger share of what the own batch gains.",
    ),
)
NO_CURVE = "the best step size of some own batch is 0"
NO_STEP = "on some own batch no step size that was tried lowers its loss; lower single_step.zoom"


def paper_setting(table: Table) -> Table:
    """Rows of the paper's own setting: plain gradient, BatchNorm on the statistics of the batch."""
    return table[(table["direction"] == "gradient") & (table["batchnorm"] == "batch")]


def best_steps(single_step: Table) -> Table:
    """Where the loss along one step is lowest, for each own batch and setting, and each kind of batch.

    Returns
    -------
    DataFrame
        seed, branch, batch_size, own_batch, direction, batchnorm, batch (own, held_out); best_step_size, lowest,
        start (loss at 0), relative_drop. The held-out curve is the mean over the held-out batches.
    """
    keys = [*BATCH, *SETTING, "batch"]
    rows = single_step[single_step["range"] != "fit"]
    curve = rows.groupby([*keys, "step_size"], as_index=False)["loss"].mean()
    start = curve[curve["step_size"] == 0].set_index(keys)["loss"].rename("start")
    lowest = curve.loc[curve.groupby(keys)["loss"].idxmin()].set_index(keys)
    table = lowest.rename(columns={"loss": "lowest", "step_size": "best_step_size"}).join(start)
    return table.assign(relative_drop=1 - table["lowest"] / table["start"]).reset_index()


def has_batchnorm(best: Table) -> bool:
    """Whether frozen statistics change a batch's loss before any step is taken: else the network has no BatchNorm."""
    plain = best[best["direction"] == "gradient"]
    starts = plain.pivot_table("start", index=[*BATCH, "batch"], columns="batchnorm").dropna()
    return not np.array_equal(starts["frozen"], starts["batch"])


def parabolas(single_step: Table, curvature: Table) -> Table:
    """How well parabolas describe the own-batch curve of the paper's setting, for each own batch.

    Returns
    -------
    DataFrame
        seed, branch, batch_size, own_batch; best_step_size; r_squared and r_squared_cubic of the best parabola and
        cubic on evenly spaced step sizes of [0, 1.5 × best_step_size]; lowest_degree of a polynomial with R² >= 0.999
        there (0: none up to 6); valid_to: the largest step size up to which the parabola from slope and curvature at 0
        stays within 5 % of the measured loss (empty where the curvature was not taken).
    """
    own = paper_setting(single_step).query("batch == 'own'")
    expansions = paper_setting(curvature).set_index(BATCH)[["loss", "slope", "curvature"]].T.to_dict()
    rows = []
    for key, curve in own.groupby(BATCH):
        fit = curve[curve["range"] == "fit"].sort_values("step_size")
        x, y = fit["step_size"].to_numpy(), fit["loss"].to_numpy()
        r_squared = {degree: _r_squared(x, y, degree) for degree in range(1, HIGHEST_DEGREE + 1)}
        lowest_degree = next((degree for degree, r in r_squared.items() if r >= NEARLY_ALL), 0)
        valid_to = _valid_to(curve, expansions[key]) if key in expansions else np.nan
        rows.append((*key, r_squared[2], r_squared[3], lowest_degree, valid_to))
    fits = pd.DataFrame(rows, columns=[*BATCH, "r_squared", "r_squared_cubic", "lowest_degree", "valid_to"])
    return best_steps(own)[[*BATCH, "best_step_size"]].merge(fits, on=BATCH)


def _valid_to(curve: Table, at: Mapping[str, float]) -> float:
    means = curve.groupby("step_size")["loss"].mean()
    x, y = means.index.to_numpy(float), means.to_numpy()
    predicted = at["loss"] + at["slope"] * x + 0.5 * at["curvature"] * x**2
    valid = np.logical_and.accumulate(np.abs(predicted - y) <= CLOSE * np.abs(y))
    return float(x[valid].max(initial=0.0))


def _r_squared(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    if not np.ptp(x) or not y.var():
        return float("nan")
    rest = y - Polynomial.fit(x, y, degree)(x)
    return float(1 - rest.var() / y.var())


def curvature_at_rate(curvature: Table, config: Config) -> pd.Series:
    """λκ/(1 - μ) for κ = gᵀHg/gᵀg along the gradient of a batch of the run's own size, for each own batch.

    The effective rate of SGD with momentum is λ/(1 - μ).
    """
    rows = paper_setting(curvature).query("batch_size == @config.burn_in.batch_size").set_index(BATCH)
    rate = config.burn_in.rate / (1 - config.burn_in.optimizer.momentum)
    return rate * rows["curvature"] / -rows["slope"]


def _side_by_side(best: Table, column: str) -> Table:
    """A column of `best_steps`, own and held_out."""
    return best.pivot_table(index=BATCH, columns="batch", values=column)


def _floor(best: Table, decayed_run: Table, config: Config) -> Found:
    """Own-batch loss after the best step ÷ loss of the decayed run on such batches."""
    reference = decayed_run.set_index("seed")["loss"].rename("reference")
    own = best[best["batch"] == "own"].set_index(BATCH)["lowest"].to_frame().join(reference, on="seed")
    ratio, limit = own["lowest"] / own["reference"], config.claims.single_step_floor
    lost = decayed_run.loc[decayed_run["loss"].isna(), "seed"]
    row = judge_seeds(ratio.dropna(), config.claims, "every decayed run diverged", below=limit)
    return failed(row, f"the decayed run of {len(lost)} of {len(decayed_run)} seeds diverged") if len(lost) else row


def _judge(values: pd.Series, claims: Claims, below: float = math.inf, above: float = -math.inf) -> Measured:
    """Judge the means of the seeds, each of which has a number."""
    return judge_mean(by_seed(values).to_numpy(float), claims, below=below, above=above)


def _shares(best: Table, config: Config) -> dict[str, Found]:
    """Drop and step size of the held-out batches ÷ those of the own batch."""
    drop, steps, claims = _side_by_side(best, "relative_drop"), _side_by_side(best, "best_step_size"), config.claims
    if (steps["own"] <= 0).any():
        return dict.fromkeys(("single_step_gap", "single_step_rate"), NotMeasured(NO_STEP))
    rate = _judge(steps["held_out"] / steps["own"], claims, below=claims.single_step_rate)
    if at_end := int((steps["own"] >= config.single_step.widest).sum()):
        note = f"the best step size of {at_end} of {len(steps)} own batches is the largest that was tried"
        rate = replace(rate, detail=joined(rate.detail, note))
    gap = _judge(drop["held_out"] / drop["own"], claims, below=claims.single_step_gap)
    return {"single_step_gap": gap, "single_step_rate": rate}


def _polynomials(fits: Table, claims: Claims) -> dict[str, Found]:
    """R² of the best parabola and cubic of every own batch."""
    if fits["r_squared"].isna().any():  # and with it that of the cubic
        return dict.fromkeys(("quadratic_own", "low_degree_own"), NotMeasured(NO_CURVE))
    values = fits.set_index(BATCH)
    quadratic = _judge(values["r_squared"], claims, above=claims.quadratic_own)
    reach = (fits["valid_to"] / fits["best_step_size"]).median()
    parts = [f"lowest degree with R² ≥ {NEARLY_ALL:g}: median {fits['lowest_degree'].median():g}"]
    if np.isfinite(reach):
        expansion = "the parabola from slope and curvature at 0 stays within 5 % up to"
        parts.append(f"{expansion} {reach:.2g} × the best step size (median)")
    return {
        "quadratic_own": replace(quadratic, detail=joined(quadratic.detail, *parts)),
        "low_degree_own": _judge(values["r_squared_cubic"], claims, above=claims.low_degree_own),
    }


def _size_gap(best: Table, config: Config) -> Found:
    """Drops of a seed at the run's own batch size, and how their ratio changes from the smallest to the largest.

    That the own drop is so many times the held-out drop is judged by their difference, since the held-out drop may be
    near 0 and a ratio to it has no bound; the ratio is shown. The change with the batch size is that of its log10.
    """
    sizes = sorted(int(size) for size in best["batch_size"].unique())
    if len(sizes) < 2:
        return NotMeasured("there is only one batch size; add another to single_step.batch_sizes")
    drops = best.pivot_table("relative_drop", index="seed", columns=["batch_size", "batch"])
    none = drops.index[(drops <= 0).any(axis=1)]
    if len(none):
        return NotMeasured(
            f"at some batch size no step lowers the loss of any held-out batch of seed "
            f"{', '.join(map(str, none))}, so that the ratio of the drops has no bound; raise single_step.own_batches"
        )
    times, claims, size = config.claims.batch_size_gap, config.claims, config.burn_in.batch_size
    ratios = {at: np.log10((drops[at, "own"] / drops[at, "held_out"]).to_numpy(float)) for at in sizes}
    own, held = (drops[size, kind].to_numpy() for kind in KINDS)
    by_size = ", ".join(f"{10 ** logs.mean():.3g} at batch {at}" for at, logs in ratios.items())
    found = all_of(
        {
            f"own − {times:g} × held-out drop, batch {size}": judge_mean(own - times * held, claims, above=0.0),
            f"log10 ratio, batch {sizes[-1]} − batch {sizes[0]}": judge_mean(
                ratios[sizes[-1]] - ratios[sizes[0]], claims, below=0.0
            ),
        },
        claims.level,
    )
    return replace(found, detail=joined(found.detail, f"own ÷ held-out drop, geometric mean over seeds: {by_size}"))


def _gap_of_batchnorm(best: Table, config: Config) -> Found:
    """Held-out ÷ own best relative drop with frozen BatchNorm statistics, minus that in training mode."""
    if not has_batchnorm(best):
        return NotMeasured("this network has no BatchNorm")
    plain = best[best["direction"] == "gradient"].groupby("batchnorm")
    shares = {}
    for name, rows in plain:
        drops = _side_by_side(rows, "relative_drop")
        shares[name] = (drops["held_out"] / drops["own"]).where(drops["own"] > 0)
    found = judge_seeds(shares["frozen"] - shares["batch"], config.claims, NO_STEP, above=0.0)
    if isinstance(found, NotMeasured):
        return found
    means = ", ".join(f"{shares[name].mean():.2g} {title}" for name, title in BATCHNORM.items())
    return replace(found, detail=joined(f"held-out ÷ own best relative drop: {means}", found.detail))


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    sweep = tables["single_step"]
    return {"best_steps": best_steps(sweep), "parabolas": parabolas(sweep, tables["curvature"])}


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows of this section; all but batch_size_gap at the run's own batch size."""
    size, sweep = config.burn_in.batch_size, late(tables["single_step"], config.branch.points)
    of_size = sweep[sweep["batch_size"] == size]
    everywhere = best_steps(paper_setting(sweep))
    best = everywhere[everywhere["batch_size"] == size]
    fits = parabolas(of_size, tables["curvature"])
    results = {
        "single_step_floor": _floor(best, tables["decayed_run"], config),
        **_shares(best, config),
        **_polynomials(fits, config.claims),
        "batch_size_gap": _size_gap(everywhere, config),
        "own_gap_is_batchnorm": _gap_of_batchnorm(best_steps(of_size), config),
    }
    return beside(results, of_run(tables, config))
