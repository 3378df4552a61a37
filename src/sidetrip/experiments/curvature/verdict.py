"""Whether the analytic model with the measured curvature says where average and trip differ (App. A, second order)."""

import math
from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import applies, spectra
from sidetrip.experiments.methods import METHODS
from sidetrip.measure.second_order import ExcessLoss, predict
from sidetrip.verdicts.records import Found, Judged, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import of_run
from sidetrip.verdicts.scores import by_point
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import judge_seeds, late
from sidetrip.verdicts.wording import OURS

STATEMENTS = (
    Statement(
        "second_order_predicts",
        OURS,
        "where average and trip differ, the analytic model with the measured curvature says by how much",
        "mean square of (average − trip) ÷ gain over kernels and windows, minus that of its difference from the "
        "prediction > 0; validation loss, each seed by its own spectrum",
        "The model comes nearer to the measured difference than a prediction of no difference.",
        "The model comes no nearer to the measured difference than a prediction of no difference.",
    ),
)
KEYS = ["kernel", "window_steps"]
MODEL = "the model is of SGD with momentum, whose update is linear in the gradient"


def excesses(nodes: Table, config: Config) -> dict[tuple[int, str, int], ExcessLoss]:
    """What the model says of every seed, method and window in steps, by spectra from some nodes."""
    rate, momentum = config.burn_in.rate, config.burn_in.optimizer.momentum
    return {
        (seed, method.name, kernel.steps): predict(kernel, kernel.schedule(), spectrum, rate, momentum)
        for seed, spectrum in spectra(nodes).items()
        for method in METHODS
        for kernel in method.kernels(config.side_trips)
    }


def predictions(tables: Tables, config: Config) -> Table:
    """Predicted beside measured (average − trip) ÷ gain, for every kernel and window and each seed.

    Returns
    -------
    DataFrame
        seed, kernel, window_steps, measured (the seed's mean average − trip over its late branch points ÷ the mean
        gain of all seeds, in validation loss), predicted, predicted_gain and gain (nats). Empty where a curvature is
        too large for a stationary state.
    """
    points = late(by_point(tables, config, [method.name for method in METHODS]), config.branch.points)
    points = points.query("split == 'validation' and metric == 'loss'")
    measured = points.groupby(["seed", *KEYS])[["average_minus_trip", "gain"]].mean().reset_index()
    measured["measured"] = measured["average_minus_trip"] / measured.groupby(KEYS)["gain"].transform("mean")
    found = excesses(late(tables["curvature_nodes"], config.branch.points), config)
    rows = [(*key, excess.difference, excess.gain) for key, excess in found.items()]
    predicted = pd.DataFrame(rows, columns=["seed", *KEYS, "predicted", "predicted_gain"])
    return predicted.merge(measured[["seed", *KEYS, "measured", "gain"]], on=["seed", *KEYS])


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    return {"second_order": predictions(tables, config)} if applies(config) else {}


def _predicts(tables: Tables, config: Config) -> Found:
    if not applies(config):
        return NotMeasured(f"{MODEL}, at a constant rate")
    found = predictions(tables, config).dropna()
    if found.empty:
        return NotMeasured("a curvature is too large for a stationary state, or every trip diverged")
    # What noise adds to the measured square is in both terms, and so in neither's favour.
    nearer = found["measured"] ** 2 - (found["predicted"] - found["measured"]) ** 2
    row = judge_seeds(nearer.groupby(found["seed"]).mean(), config.claims, "", above=0.0)
    if isinstance(row, NotMeasured):
        return row
    means = found.groupby(KEYS)[["measured", "predicted"]].mean()
    off = math.sqrt((means["predicted"] - means["measured"]).pow(2).mean())
    zero = math.sqrt(means["measured"].pow(2).mean())
    shown = f"of the means over seeds, root mean square {off:.2g}, that of predicting 0 {zero:.2g}"
    return replace(row, detail=joined(shown, row.detail))


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the row second_order_predicts."""
    return {"second_order_predicts": replace(_predicts(tables, config), regime=of_run(tables, config))}
