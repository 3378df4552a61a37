"""Statements about averages and the trips with their schedules (Table 1, Fig. 1, 5, 10, 14).

The average and the trip with its equivalent schedule coincide where a batch's gradient changes little: Lemma 2 and
Table 1 of DOI 10.48550/arXiv.2301.02312.
"""

from collections.abc import Mapping
from dataclasses import replace

from sidetrip.config import Config
from sidetrip.experiments.methods import NAMES
from sidetrip.verdicts.equivalence import ALL_DIVERGED, DIVERGED, all_scores, average_is_schedule
from sidetrip.verdicts.records import POINT, Found, Judged, Measured, NotMeasured, Regime, Table, Tables, joined
from sidetrip.verdicts.regime import of_run, of_window
from sidetrip.verdicts.scores import UNITS, late_scores, of_score
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.statistics import all_of, by_seed, failed, judge_mean, judge_seeds, late
from sidetrip.verdicts.wording import OURS, method_words

STATEMENTS = (
    Statement(
        "average_joins_decay",
        OURS,
        "averaging on top of a decay gains further (asked in arXiv 2502.06761)",
        "validation loss of the trip − that of the mean of its iterates over its last half > 0; linear and EMA trips",
        "An average along the end of a decay is better still than the end of the decay.",
        "An average along the end of a decay is not better than the end of the decay.",
    ),
)
CONSTANT_ALONE = "the statement is about a constant rate; the rate of this variant falls"
OLDER = "these tables are older than the method: they have no trips of it"
COSINE_ALONE = "the main schedule of this variant is not a cosine"


def _helps(tables: Tables, scores: Mapping[str, Table], regimes: Mapping[str, Regime], config: Config) -> Found:
    """The gain of every method of the paper in validation loss; the regime is that of the method that decides."""
    if config.burn_in.schedule != "constant":
        return NotMeasured(CONSTANT_ALONE, of_run(tables, config))
    parts = {}
    for method in (name for name in scores if method_words(name).source != OURS):
        judged = judge_seeds(of_score(scores[method], "loss", "validation")["gain"], config.claims, "", above=0.0)
        if isinstance(judged, NotMeasured):
            return NotMeasured(f"{method_words(method).phrase} has no score", of_run(tables, config))
        parts[method_words(method).title] = replace(judged, quantity="nats", regime=regimes[method])
    return all_of(parts, config.claims.level)


def _cosine(scores: Table, config: Config) -> Found:
    """SWA on a cosine run, within absolute margins: a gain within the noise leaves no share of it."""
    if config.burn_in.schedule != "cosine":
        return NotMeasured(COSINE_ALONE)
    claims = config.claims
    margins = {"loss": claims.cosine_run_loss, "accuracy": claims.cosine_run_accuracy}

    def within_margin(metric: str, split: str) -> Measured:
        here, (quantity, scale) = of_score(scores, metric, split).dropna(subset=["gap"]), UNITS[metric]
        gap, gain = (scale * by_seed(here[name]).to_numpy() for name in ("gap", "gain"))
        margin = scale * margins[metric]
        judged = judge_mean(gap, claims, below=margin, above=-margin)
        share = f", of which the margin is {margin / gain.mean():.0%}" if gain.mean() > 0 else ""
        detail = joined(f"gain {gain.mean():.3g} {quantity}{share}", judged.detail)
        return replace(judged, quantity=quantity, detail=detail)

    return all_scores(scores, config, within_margin)


def joins_decay(side_trips: Table, config: Config) -> Found:
    """What the mean of the last half of a decaying trip's own iterates gains over the trip's end, validation loss."""
    rows = late(side_trips, config.branch.points).query("split == 'validation'")
    joined_rows, parts = rows[rows["model"] == "trip_average"], {}
    for method in [name for name in NAMES if name in set(joined_rows["kernel"])]:
        averages = joined_rows[joined_rows["kernel"] == method]
        trips = rows[(rows["model"] == "trip") & (rows["kernel"] == method)]
        pairs = averages.merge(trips, on=[*POINT, "window_steps"], suffixes=("_average", "_trip")).set_index(POINT)
        judged = judge_seeds(pairs["loss_trip"] - pairs["loss_average"], config.claims, "", above=0.0)
        if isinstance(judged, NotMeasured):
            return NotMeasured(ALL_DIVERGED)
        parts[f"{method_words(method).title} trip"] = replace(judged, quantity="nats")
    if not parts:
        return NotMeasured("no method's trip has a rate that falls")
    found = all_of(parts, config.claims.level)
    return failed(found, DIVERGED) if joined_rows["loss"].isna().any() else found


def judge(tables: Tables, config: Config) -> Judged:
    """Judge average_is_schedule_*, averaging_helps (constant rate alone), cosine_run (a cosine alone), joining."""
    scores, regimes = dict[str, Table](), dict[str, Regime]()
    older = NotMeasured(OLDER, of_run(tables, config))
    results: dict[str, Found] = {f"average_is_schedule_{method}": older for method in NAMES}
    there = set(tables["side_trips"]["kernel"])
    for method in [name for name in NAMES if name in there]:
        window, scores[method] = late_scores(tables["side_trips"], config, method)
        regimes[method] = of_window(tables, config, window, scores[method])
        found = average_is_schedule(scores[method], window, config)
        results[f"average_is_schedule_{method}"] = replace(found, regime=regimes[method])
    results["averaging_helps"] = _helps(tables, scores, regimes, config)
    joined_regime = of_run(tables, config)
    results["average_joins_decay"] = replace(joins_decay(tables["side_trips"], config), regime=joined_regime)
    results["cosine_run"] = replace(_cosine(scores["swa"], config), regime=regimes["swa"])
    return results
