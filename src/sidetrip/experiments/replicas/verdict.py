"""Whether average and trip differ by the noise since the branch point, or by where they lie without it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import applies, spectra
from sidetrip.experiments.methods import METHODS
from sidetrip.measure.second_order import predict
from sidetrip.verdicts.records import Found, Judged, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import judge_seeds, late
from sidetrip.verdicts.wording import OURS

STATEMENTS = (
    Statement(
        "replica_noise_predicted",
        OURS,
        "noise since the branch point parts average and trip as the analytic model with the measured curvature says",
        "mean square over methods of the noise's part of (average − trip) ÷ gain, minus that of its difference from "
        "the prediction > 0; validation loss, each seed by its own spectrum",
        "What noise does to average and trip is nearer to the model than to no difference.",
        "What noise does to average and trip is no nearer to the model than to no difference.",
    ),
    Statement(
        "trips_slide_further",
        OURS,
        "the mean of many trips with a falling rate ends lower than the mean of many runs at the full rate",
        "(loss of the mean of runs at the full rate − loss of the mean of SWA's trips, at the same step, both for so "
        "many that no noise is left) ÷ gain > 0; validation loss",
        "A falling rate does more than to take noise away: without noise, too, trips end lower than the run does.",
        "Without noise, trips do not end lower than the run does.",
    ),
)
KEYS = ["seed", "kernel", "window_steps", "split"]
DECIDES = "swa"


def parts(tables: Tables, config: Config) -> Table:
    """What average and trip differ by, in the parts that it comes from.

    On a quadratic loss the loss of one of M replicas exceeds that of their mean by (1 − 1/M) of what noise adds to it.

    Returns
    -------
    DataFrame
        seed, kernel, window_steps, split; gain (nats, mean over replicas); as shares of the mean gain of all seeds:
        difference (average − trip), which is noise + centre (noise since the branch point; where both lie without
        it), and slide (momentary − trip without that noise); predicted_noise and predicted_centre, nan where the
        analytic model does not apply.
    """
    keys = [*KEYS, "model"]
    losses = tables["replicas"].groupby(keys)["loss"].mean().to_frame("one")
    losses = losses.join(tables["replica_means"].set_index(keys)["loss"].rename("of_mean"), how="inner")
    number = config.replicas.number
    losses["noise"] = (losses["one"] - losses["of_mean"]) * number / (number - 1)
    losses["centre"] = losses["one"] - losses["noise"]
    momentary, average, trip = (_of_model(losses, model) for model in ("momentary", "average", "trip"))
    found = average.join(trip, how="inner").join(momentary.droplevel("kernel"), on=[k for k in KEYS if k != "kernel"])
    found["gain"] = found["one_momentary"] - found["one_average"]
    mean_gain = found["gain"].groupby(KEYS[1:]).transform("mean")
    for name, column in (("difference", "one"), ("noise", "noise"), ("centre", "centre")):
        found[name] = (found[f"{column}_average"] - found[f"{column}_trip"]) / mean_gain
    found["slide"] = (found["centre_momentary"] - found["centre_trip"]) / mean_gain
    shown = found[["gain", "difference", "noise", "centre", "slide"]].reset_index()
    return shown.merge(_predicted(tables, config), how="left", on=KEYS[:3])


def _of_model(losses: Table, model: str) -> Table:
    """The losses of one model, whose name ends the names of its columns."""
    rows = losses[losses.index.get_level_values("model") == model]
    return rows.droplevel("model").add_suffix(f"_{model}")


def _predicted(tables: Tables, config: Config) -> Table:
    """Both parts as the analytic model has them; no rows where it does not apply."""
    rows: list[tuple[object, ...]] = []
    if "curvature" not in config.left_out and applies(config):
        nodes, momentum = late(tables["curvature_nodes"], config.branch.points), config.burn_in.optimizer.momentum
        for seed, spectrum in spectra(nodes).items():
            for method in METHODS:
                kernel = max(method.kernels(config.side_trips), key=lambda kernel: kernel.steps)
                excess = predict(kernel, kernel.schedule(), spectrum, config.burn_in.rate, momentum)
                noise = excess.fresh_difference
                rows.append((seed, method.name, kernel.steps, noise, excess.difference - noise))
    return pd.DataFrame(rows, columns=[*KEYS[:3], "predicted_noise", "predicted_centre"])


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    return {"replica_parts": parts(tables, config)}


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows replica_noise_predicted and trips_slide_further."""
    found = parts(tables, config).query("split == 'validation'")
    slides = found[found["kernel"] == DECIDES].set_index("seed")["slide"]
    results = {
        "replica_noise_predicted": _noise_predicted(found, config),
        "trips_slide_further": judge_seeds(slides, config.claims, "every trip diverged", above=0.0),
    }
    return beside(results, of_run(tables, config))


def _noise_predicted(found: Table, config: Config) -> Found:
    if "curvature" in config.left_out or not applies(config):
        return NotMeasured("it needs the curvature, and a model of SGD with momentum at a constant rate")
    known = found.dropna(subset=["predicted_noise"]).set_index("seed")
    nearer = known["noise"] ** 2 - (known["predicted_noise"] - known["noise"]) ** 2
    row = judge_seeds(nearer.groupby("seed").mean(), config.claims, "nothing is left to compare", above=0.0)
    if isinstance(row, NotMeasured):
        return row
    means = known.groupby("kernel")[["noise", "predicted_noise"]].mean()
    off, zero = (float((means["noise"] - other).pow(2).mean() ** 0.5) for other in (means["predicted_noise"], 0.0))
    shown = f"of the means over seeds, root mean square {off:.2g}, that of predicting 0 {zero:.2g}"
    return replace(row, detail=joined(shown, row.detail))
