"""What average and trip differ by: the noise since the branch point, or the rest."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.curvature.model import applies
from sidetrip.experiments.curvature.verdict import excesses
from sidetrip.verdicts.records import Found, Judged, Measured, NotMeasured, Table, Tables, joined
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.scores import TITLES
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import all_of, judge_equal, judge_mean
from sidetrip.verdicts.wording import OURS, method_words, methods_in_order

STATEMENTS = (
    Statement(
        "replica_noise_predicted",
        OURS,
        "noise since the branch point parts average and trip as the analytic model with the measured curvature says",
        "for each method: noise's part of average − trip differs from the prediction (a share of the gain) by less "
        "than {average_is_schedule} of the prediction; validation loss, each seed by its own spectrum",
        "What noise does to average and trip is what the model says.",
        "What noise does to average and trip is not what the model says.",
    ),
    Statement(
        "trip_mean_is_lower",
        OURS,
        "the mean of the weights of many trips with a falling rate lies lower than that of many runs at the full rate "
        "that came as far",
        "loss of the mean of the weights of runs − that of SWA's trips, the runs at the step where their rates add up "
        "to those of the trip, both extrapolated to infinitely many replicas > 0; training and validation loss",
        "The mean of many trips lies lower than that of runs that came as far, which a quadratic loss does not give.",
        "The mean of many trips does not lie lower than that of runs that came as far.",
    ),
)
KEYS = ["seed", "kernel", "window_steps", "split"]
MODELS = ("momentary", "average", "trip", "as_far")
DECIDES = "swa"
DIVERGED = "a trip or the run diverged"


def parts(tables: Tables, config: Config) -> Table:
    """What average and trip differ by, in the parts that it comes from.

    On a quadratic loss the loss of one of M replicas exceeds that of the mean of their weights by (1 − 1/M) of what
    noise since the branch point adds to it.

    Returns
    -------
    DataFrame
        seed, kernel, window_steps, split; in nats, means over replicas: gain, difference (average − trip), which is
        noise + rest (without the noise since the branch point), slide (the run that came as far − trip, without that
        noise), noise_average and noise_trip. By the analytic model, nan where it does not apply: predicted_noise and
        predicted_rest, as shares of the gain, predicted_noise_average and predicted_noise_trip in nats.
    """
    keys = [*KEYS, "model"]
    losses = tables["replicas"].groupby(keys)["loss"].mean().to_frame("one")
    losses = losses.join(tables["replica_means"].set_index(keys)["loss"].rename("of_mean"), how="inner")
    number = config.replicas.number
    losses["noise"] = (losses["one"] - losses["of_mean"]) * number / (number - 1)
    losses["rest"] = losses["one"] - losses["noise"]
    momentary, average, trip, far = (_of_model(losses, name) for name in MODELS)
    found = average.join(trip, how="inner").join(far)
    found = found.join(momentary.droplevel("kernel"), on=[key for key in KEYS if key != "kernel"])
    found["gain"] = found["one_momentary"] - found["one_average"]
    for name, column in (("difference", "one"), ("noise", "noise"), ("rest", "rest")):
        found[name] = found[f"{column}_average"] - found[f"{column}_trip"]
    found["slide"] = found["rest_as_far"] - found["rest_trip"]
    shown = found[["gain", "difference", "noise", "rest", "slide", "noise_average", "noise_trip"]].reset_index()
    return shown.merge(_predicted(tables, config), how="left", on=KEYS[:3])


def _of_model(losses: Table, model: str) -> Table:
    """The losses of one model, whose name ends the names of its columns."""
    rows = losses[losses.index.get_level_values("model") == model]
    return rows.droplevel("model").add_suffix(f"_{model}")


def _predicted(tables: Tables, config: Config) -> Table:
    """What the analytic model says, by the spectra at the last branch point; no rows where it does not apply."""
    rows: list[tuple[object, ...]] = []
    if _is_modelled(config):
        nodes = tables["curvature_nodes"]
        for key, excess in excesses(nodes[nodes["branch"] == config.branch.points[-1]], config).items():
            noise = excess.fresh_difference
            rows.append((*key, noise, excess.difference - noise, excess.fresh_average, excess.fresh_trip))
    names = ["noise", "rest", "noise_average", "noise_trip"]
    return pd.DataFrame(rows, columns=[*KEYS[:3], *(f"predicted_{name}" for name in names)])


def _is_modelled(config: Config) -> bool:
    return config.experiments.curvature and applies(config)


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    return {"replica_parts": parts(tables, config)}


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows replica_noise_predicted and trip_mean_is_lower."""
    found = parts(tables, config)
    deciding = found[found["kernel"] == DECIDES].dropna(subset="slide")
    slides = {f"{title} loss": deciding.loc[deciding["split"] == split, "slide"] for split, title in TITLES.items()}
    results = {
        "replica_noise_predicted": _noise_predicted(found.query("split == 'validation'"), config),
        "trip_mean_is_lower": above_zero(slides, config),
    }
    return beside(results, of_run(tables, config))


def _noise_predicted(found: Table, config: Config) -> Found:
    if not _is_modelled(config):
        return NotMeasured("it needs the curvature, and a model of SGD with momentum at a constant rate")
    known, judged = found.dropna(subset=["predicted_noise"]), {}
    for method in methods_in_order(known["kernel"]):
        here = known[known["kernel"] == method]
        expected = (here["predicted_noise"] * here["gain"]).to_numpy(float)
        gap = here["noise"].to_numpy(float) - expected
        equal = judge_equal(gap, abs(expected), config.claims.average_is_schedule, config.claims)
        # Without the words of a comparison of an average with its trip.
        judged[method_words(method).title] = replace(equal, quantity="nats", outcome="", ratio=None)
    if not judged:
        return NotMeasured(f"{DIVERGED}, or nothing is stationary")
    return _of_seeds(judged, config, f"{DIVERGED}, or nothing is stationary")


def above_zero(found: Mapping[str, pd.Series], config: Config) -> Found:
    """Whether the mean over seeds of every part, in nats, is above 0."""
    if any(values.empty for values in found.values()):
        return NotMeasured(DIVERGED)
    judged = {
        part: replace(judge_mean(values.to_numpy(float), config.claims, above=0.0), quantity="nats")
        for part, values in found.items()
    }
    return _of_seeds(judged, config, DIVERGED)


def _of_seeds(judged: Mapping[str, Measured], config: Config, lost: str) -> Measured:
    """All parts together, with a note where some seed has no number."""
    found, missing = all_of(judged, config.claims.level), len(config.seeds) - min(part.n for part in judged.values())
    note = f"without {missing} of {len(config.seeds)} seeds, in which {lost}" if missing else ""
    return replace(found, detail=joined(found.detail, note))
