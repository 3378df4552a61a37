"""The paper's statements, each with the number that decides it, its interval and its verdict.

A verdict is computed: "reproduced" if the interval lies wholly on the side that the criterion asks
for, "not reproduced" if wholly on the other, "undecided" if it straddles. Intervals are percentile
bootstraps over the (seed, branch point) pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from sidetrip.config import Claims, Config

Table = pd.DataFrame
PAIR = ["seed", "branch"]
REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED = "reproduced", "not reproduced", "undecided", "not measured"
PLANNED = "no stage of this pipeline measures it yet"


@dataclass(frozen=True)
class Statement:
    """What the paper says, where, and the criterion in words."""

    id: str
    source: str
    statement: str
    criterion: str


@dataclass(frozen=True)
class Measured:
    """A number with its interval, the pairs it rests on, and the verdict."""

    value: float
    low: float
    high: float
    n: int
    verdict: str
    detail: str = ""


STATEMENTS = [
    Statement(
        "single_step_floor",
        "Fig. 2",
        "one step on a batch takes that batch's loss below the average loss of a fully trained model",
        "lowest own-batch loss ÷ training loss of the run's best average < {single_step_floor:g}",
    ),
    Statement(
        "single_step_gap",
        "Fig. 2, 12",
        "on a held-out training batch only small steps help",
        "best relative drop, held-out ÷ own < {single_step_gap:g}",
    ),
    Statement(
        "single_step_rate",
        "Fig. 2",
        "the best step size differs greatly",
        "best step size, held-out ÷ own < {single_step_rate:g}",
    ),
    Statement(
        "quadratic_own",
        "Fig. 2, §3",
        "the own-batch loss is a low-degree polynomial of the step size",
        "R² of a parabola on [0, 1.5 × own best step] ≥ {quadratic_own:g}",
    ),
    Statement(
        "batch_size_gap",
        "Fig. 13",
        "the own-batch drop is orders of magnitude above the held-out drop, less so for very large batches",
        "log10 ratio of the drops, largest − smallest batch size, < 0",
    ),
    Statement(
        "fixed_batch_floor",
        "Fig. 3",
        "within 3 full-batch steps on one batch its loss is near 0",
        "own loss after 3 steps ÷ before < 0.1",
    ),
    Statement(
        "fixed_batch_basin",
        "Fig. 3",
        "trips on the same fixed batch from t and t+Δ end in the same basin",
        "barrier after 9 steps ÷ loss before < 0.05",
    ),
    *(
        Statement(
            f"average_is_schedule_{kernel}",
            "Table 1, Fig. 5, 10, 14",
            f"{title} and the side trip with its equivalent schedule reach the same accuracy and loss",
            "|average − trip| ÷ |average − momentary| < {average_is_schedule:g}, widest window, "
            "loss and accuracy, train and validation",
        )
        for kernel, title in (("swa", "the SWA average"), ("two_point", "the two-point average"), ("ema", "the EMA"))
    ),
    Statement(
        "averaging_helps", "Fig. 5", "every average beats the momentary model", "gain in validation loss > 0, each kind"
    ),
    Statement(
        "midpoint_tracks_half_rate",
        "Fig. 6",
        "the loss of the midpoint follows that of the λ/2 trip along the whole trip",
        "mean |difference| ÷ mean gain < 0.25",
    ),
    Statement(
        "midpoint_distance",
        "Fig. 6",
        "midpoint and λ/2 trip are distinct, but far closer than two trips on different batches",
        "ratio of the distances between 0 and 0.75",
    ),
    Statement(
        "fixed_gradient_norm",
        "Fig. 7",
        "the gradient norm of a fixed batch changes by less than 5 % along the trip",
        "largest relative change < 0.05",
    ),
    Statement(
        "fixed_gradient_direction",
        "Fig. 7",
        "its cosine with the first gradient stays generally above 0.5",
        "share of steps above 0.5 > 0.9",
    ),
    Statement(
        "batch_gradients_orthogonal",
        "Fig. 7",
        "gradients of independent batches are almost orthogonal",
        "mean |cosine| < 0.2",
    ),
    Statement(
        "distance_saturates",
        "Fig. 8",
        "the distance to the end of an independent trip falls monotonically, then stays",
        "Spearman ρ < −0.9; change after ÷ fall before < 0.15",
    ),
    Statement(
        "ema_two_scales",
        "Fig. 9, 11",
        "EMA at the large rate is as low as the small rate in the fast coordinate, as fast as the large in the slow",
        "both within the Monte-Carlo interval",
    ),
    Statement("stationary_radius", "Lemma 1", "stationary radius ∝ √λ", "log-log slope 0.5 within its interval"),
    Statement(
        "averaging_equals_schedule",
        "Lemma 2",
        "with constant gradients the trajectories coincide",
        "largest weight difference < 1e-12",
    ),
    Statement(
        "midpoint_inside",
        "§4, Fig. 4b",
        "the midpoint of two points of the stationary ellipsoid has 1/√2 of their norm",
        "1/√2 within its interval",
    ),
    Statement(
        "drag_and_drift",
        "§4, Fig. 4a, eq. 8",
        "the change in squared norm is −λγ(2−λγ)‖θ‖² + λ²‖ξ‖²",
        "relative difference < 1e-12",
    ),
    Statement(
        "stationary_covariance",
        "App. A eq. 19–21",
        "closed form for any kernel",
        "simulated ÷ closed form: 1 within its interval",
    ),
    Statement(
        "cosine_run",
        "Fig. 14, bottom row",
        "the same holds on a run whose main schedule is a cosine",
        "average_is_schedule on the cosine variant",
    ),
]


def interval(
    statistic: Callable[..., NDArray[np.float64]], columns: tuple[NDArray[np.float64], ...], claims: Claims
) -> tuple[float, float, float]:
    """Value of a statistic of paired columns, with its bootstrap interval (fixed seed)."""
    value = float(statistic(*columns, axis=-1))
    if len(columns[0]) < 2:
        return value, -math.inf, math.inf
    found = bootstrap(
        columns,
        statistic,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=claims.bootstrap_samples,
        confidence_level=claims.confidence,
        rng=np.random.default_rng(0),
        batch=500,
    ).confidence_interval
    return value, float(found.low), float(found.high)


def verdict(low: float, high: float, below: float = math.inf, above: float = -math.inf) -> str:
    """Compare an interval with the open range (above, below) that the criterion asks for."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED
    if above < low and high < below:
        return REPRODUCED
    if high <= above or low >= below:
        return NOT_REPRODUCED
    return UNDECIDED


def _mean(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.mean(values, axis=axis)


def _ratio_of_means(top: NDArray[np.float64], bottom: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.mean(top, axis=axis) / np.mean(bottom, axis=axis)


def _judge_mean(values: NDArray[np.float64], claims: Claims, **limits: float) -> Measured:
    value, low, high = interval(_mean, (values,), claims)
    return Measured(value, low, high, len(values), verdict(low, high, **limits))


def best_steps(single_step: Table) -> Table:
    """For each (seed, branch, batch_size) and batch: loss at 0, lowest loss, its step size, relative drop.

    The held-out curve is the mean over the held-out batches; both ranges are searched together.
    """
    keys = [*PAIR, "batch_size", "batch"]
    curve = single_step.groupby([*keys, "step_size"], as_index=False)["loss"].mean()
    start = curve[curve["step_size"] == 0].set_index(keys)["loss"].rename("start")
    lowest = curve.loc[curve.groupby(keys)["loss"].idxmin()].set_index(keys)
    table = lowest.rename(columns={"loss": "lowest", "step_size": "best_step_size"}).join(start)
    return table.assign(relative_drop=1 - table["lowest"] / table["start"]).reset_index()


def _wide(best: Table, column: str) -> Table:
    return best.pivot_table(index=[*PAIR, "batch_size"], columns="batch", values=column)


def parabola_fit(single_step: Table, best: Table) -> Table:
    """R² of a parabola through the own-batch curve on [0, 1.5 × its best step size], each pair and batch size."""
    rows = []
    own = single_step[single_step["batch"] == "own"]
    for _, b in best[best["batch"] == "own"].iterrows():
        here = (own[[*PAIR, "batch_size"]] == b[[*PAIR, "batch_size"]].to_numpy()).all(axis=1)
        curve = own[here & (own["step_size"] <= 1.5 * b["best_step_size"])].drop_duplicates("step_size")
        x, y = curve["step_size"].to_numpy(), curve["loss"].to_numpy()
        if len(x) < 4:
            continue
        rest = y - np.polynomial.Polynomial.fit(x, y, 2)(x)
        rows.append({**b[[*PAIR, "batch_size"]], "r_squared": 1 - rest.var() / y.var(), "points": len(x)})
    return pd.DataFrame(rows, columns=[*PAIR, "batch_size", "r_squared", "points"])


def _single_step_claims(tables: dict[str, Table], config: Config) -> dict[str, Measured]:
    claims = config.claims
    best = best_steps(tables["single_step"])
    smallest, largest = min(config.single_step.batch_sizes), max(config.single_step.batch_sizes)
    at_smallest = best[best["batch_size"] == smallest]
    drop = _wide(at_smallest, "relative_drop")
    steps = _wide(at_smallest, "best_step_size")
    lowest = _wide(at_smallest, "lowest")["own"].droplevel("batch_size")
    train = tables["side_trips"].query("model == 'average' and split == 'train'")
    floor = train.groupby("seed")["loss"].min()  # the run's best averaged model
    ratio = lowest.to_numpy() / floor.loc[lowest.index.get_level_values("seed")].to_numpy()
    fit = parabola_fit(tables["single_step"], best).query("batch_size == @smallest")
    results = {
        "single_step_floor": _judge_mean(ratio, claims, below=claims.single_step_floor),
        "single_step_gap": _judge_mean(
            (drop["held_out"] / drop["own"]).to_numpy(), claims, below=claims.single_step_gap
        ),
        "single_step_rate": _judge_mean(
            (steps["held_out"] / steps["own"]).to_numpy(), claims, below=claims.single_step_rate
        ),
        "quadratic_own": _judge_mean(fit["r_squared"].to_numpy(), claims, above=claims.quadratic_own),
    }
    if smallest < largest:
        drops = _wide(best, "relative_drop")
        ratios = np.log10(
            (drops["own"] / drops["held_out"])
            .rename("ratio")
            .reset_index()
            .pivot_table(index=PAIR, columns="batch_size", values="ratio")
        )
        change = (ratios[largest] - ratios[smallest]).to_numpy()
        if np.isfinite(change).all():
            detail = (
                f"log10 ratio {ratios[smallest].mean():.2f} at {smallest}, {ratios[largest].mean():.2f} at {largest}"
            )
            found = _judge_mean(change, claims, below=0.0)
            results["batch_size_gap"] = Measured(**{**asdict(found), "detail": detail})
    return results


def compared(side_trips: Table, kernel: str) -> Table:
    """Momentary, average and trip side by side at the widest window of a kernel; one row a pair, metric and split."""
    rows = side_trips[side_trips["kernel"].isin([kernel, "none"])]
    window = side_trips.loc[side_trips["kernel"] == kernel, "window_steps"].max()
    rows = rows[rows["window_steps"] == window]
    long = rows.melt([*PAIR, "model", "split"], ["loss", "accuracy"], var_name="metric", value_name="score")
    return long.pivot_table(index=["metric", "split", *PAIR], columns="model", values="score", dropna=False)


def _average_is_schedule(side_trips: Table, kernel: str, claims: Claims) -> Measured:
    limit, parts = claims.average_is_schedule, {}
    table = compared(side_trips, kernel)
    for metric, split in itertools.product(("accuracy", "loss"), ("train", "validation")):
        rows = table.xs((metric, split), level=("metric", "split"))
        kept = rows.dropna()  # a trip that diverged has no score
        columns = ((kept["average"] - kept["trip"]).to_numpy(), (kept["average"] - kept["momentary"]).to_numpy())
        parts[metric, split] = (*interval(_ratio_of_means, columns, claims), len(kept), len(rows))
    judged = {key: verdict(low, high, below=limit, above=-limit) for key, (_, low, high, _, _) in parts.items()}
    overall = REPRODUCED if set(judged.values()) == {REPRODUCED} else UNDECIDED
    if NOT_REPRODUCED in judged.values() or any(n < of for *_, n, of in parts.values()):
        overall = NOT_REPRODUCED
    worst = max(parts, key=lambda key: abs(parts[key][0]))
    value, low, high, n, _ = parts[worst]
    detail = "; ".join(f"{split} {metric} {parts[metric, split][0]:+.2f}" for metric, split in parts)
    return Measured(value, low, high, n, overall, f"shown: {worst[1]} {worst[0]}; {detail}")


def _averaging_helps(side_trips: Table, claims: Claims) -> Measured:
    parts = {}
    for kernel in ("swa", "two_point", "ema"):
        rows = compared(side_trips, kernel).xs(("loss", "validation"), level=("metric", "split"))
        parts[kernel] = _judge_mean((rows["momentary"] - rows["average"]).to_numpy(), claims, above=0.0)
    worst = min(parts.values(), key=lambda p: p.value)
    verdicts = {p.verdict for p in parts.values()}
    overall = next(v for v in (NOT_REPRODUCED, UNDECIDED, REPRODUCED) if v in verdicts)
    detail = "; ".join(f"{name} {p.value:+.4f}" for name, p in parts.items())
    return Measured(worst.value, worst.low, worst.high, worst.n, overall, f"shown: the smallest; {detail}")


def measure(tables: dict[str, Table], config: Config) -> list[dict[str, Any]]:
    """Rows of claims.json: every statement, measured or with the reason why not.

    Parameters
    ----------
    tables : dict of str to DataFrame
        "single_step" and "side_trips".
    config : Config
        Thresholds and settings.
    """
    found = _single_step_claims(tables, config)
    for kernel in ("swa", "two_point", "ema"):
        found[f"average_is_schedule_{kernel}"] = _average_is_schedule(tables["side_trips"], kernel, config.claims)
    found["averaging_helps"] = _averaging_helps(tables["side_trips"], config.claims)
    rows = []
    for statement in STATEMENTS:
        row: dict[str, Any] = asdict(statement)
        row["criterion"] = statement.criterion.format(**asdict(config.claims))
        measured = found.get(statement.id)
        if measured is None or not math.isfinite(measured.value):
            reason = PLANNED if measured is None else "the number is not finite: a drop or a gain is zero"
            row |= {"value": None, "low": None, "high": None, "n": 0, "verdict": NOT_MEASURED, "reason": reason}
        else:
            values = {key: _json_number(getattr(measured, key)) for key in ("value", "low", "high")}
            row |= values | {"n": measured.n, "verdict": measured.verdict, "detail": measured.detail}
        rows.append(row)
    return rows


def _json_number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
