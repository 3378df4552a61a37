"""Whether gradient noise leaves the mean of the weights at a higher loss, and the average more than the trip."""

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.replicas.verdict import above_zero
from sidetrip.verdicts.records import Found, Judged, NotMeasured, Table, Tables
from sidetrip.verdicts.regime import beside, of_run
from sidetrip.verdicts.scores import TITLES, widest_window
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.wording import OURS, method_words

STATEMENTS = (
    Statement(
        "noise_lifts_the_mean",
        OURS,
        "the mean of the weights of several runs lies higher than one run on the mean of their gradients",
        "at the full rate, at the end of SWA's widest window: loss of the mean of the weights − loss of the run on the "
        "mean gradient > 0; training and validation loss",
        "The mean of the weights of several runs ends higher than the run with less noise.",
        "The mean of the weights of several runs does not end higher than the run with less noise.",
    ),
    Statement(
        "noise_favours_the_trip",
        OURS,
        "with less gradient noise the trip's lead over the average is smaller",
        "(average − trip) of the means of weights − (average − trip) of the runs on the mean gradient > 0; "
        "SWA and two-point, training and validation loss",
        "Gradient noise costs the average more than its trip, beyond what it does with one Hessian.",
        "Gradient noise does not cost the average more than its trip for every method and loss.",
    ),
)
KEYS = ["seed", "kernel", "window_steps", "split"]
LIFTED = "swa"
FAVOURED = ("swa", "two_point")
NOT_LINEAR = "the step is not linear in the gradient, so that the two would differ on a quadratic loss, too"


def lifts(tables: Tables) -> Table:
    """By how much means of weights lie above the run on the mean gradient.

    Returns
    -------
    DataFrame
        seed, kernel, window_steps, split, model (momentary, of kernel "none"; average, trip; as_far: the run where its
        rates add up to those of the trip), weights and gradients (the losses), lift (weights − gradients), all nats.
    """
    losses = tables["mean_gradient"].pivot_table(index=[*KEYS, "model"], columns="mean_of", values="loss")
    found = losses.reindex(columns=["weights", "gradients"]).dropna()
    return found.assign(lift=found["weights"] - found["gradients"]).reset_index().rename_axis(columns=None)


def favours(found: Table) -> Table:
    """What the trip leads by, with the noise of the runs and with less of it.

    Returns
    -------
    DataFrame
        Indexed by seed, kernel, window_steps, split; nats: gap_of_weights and gap_of_gradients (average − trip), favour
        (their difference: the lift of the average − that of the trip). Rows without a trip are left out.
    """
    pairs = [found[found["model"] == model].set_index(KEYS) for model in ("average", "trip")]
    gaps = (pairs[0][["weights", "gradients"]] - pairs[1][["weights", "gradients"]]).dropna().add_prefix("gap_of_")
    return gaps.assign(favour=gaps["gap_of_weights"] - gaps["gap_of_gradients"])


def derived(tables: Tables, config: Config) -> dict[str, Table]:
    """Tables that a report keeps."""
    found = lifts(tables)
    return {"mean_gradient_lifts": found, "mean_gradient_gaps": favours(found).reset_index()}


def judge(tables: Tables, config: Config) -> Judged:
    """Judge the rows noise_lifts_the_mean and noise_favours_the_trip."""
    if config.burn_in.optimizer.name == "adamw" or config.burn_in.clip:
        results: dict[str, Found] = {statement.id: NotMeasured(NOT_LINEAR) for statement in STATEMENTS}
        return beside(results, of_run(tables, config))
    found, window = lifts(tables), widest_window(tables["side_trips"], LIFTED)
    of_runs = found[(found["model"] == "momentary") & (found["window_steps"] == window)].assign(kernel=LIFTED)
    results = {
        "noise_lifts_the_mean": above_zero(_by_part(of_runs, "lift", (LIFTED,)), config),
        "noise_favours_the_trip": above_zero(_by_part(favours(found).reset_index(), "favour", FAVOURED), config),
    }
    return beside(results, of_run(tables, config))


def _by_part(found: Table, column: str, methods: tuple[str, ...]) -> dict[str, pd.Series]:
    """A column, by method and split."""
    return {
        f"{method_words(method).title}, {title} loss": found.loc[
            (found["kernel"] == method) & (found["split"] == split), column
        ]
        for method in methods
        for split, title in TITLES.items()
    }
