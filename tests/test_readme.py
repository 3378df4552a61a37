"""The numbers of README's findings, and of the picture beside them, are those of the committed tables."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sidetrip.experiments.forecast.figure import errors_by_seed
from sidetrip.index.average_or_trip import differs_unknown, percent
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN
from sidetrip.verdicts.statistics import student_interval

README = Path("README.md").read_text(encoding="utf-8")
REPORTS = Path("reports")
VARIANTS = ("cifar10_resnet20", "cifar10_small", "fashion_mnist", "fashion_mnist_adamw", "shakespeare")
FRESH = "shakespeare_other_seeds"  # text again, with seeds that the law of the forecasts was not chosen by
RUNS = {3: "three", 4: "four", 5: "five"}
NAMES = {
    "cifar10_resnet20": "ResNet-20 on CIFAR-10",
    "cifar10_small": "ResNet-8 there",
    "fashion_mnist": "ResNet-8 on Fashion-MNIST",
}
REPLICATED = tuple(f"fashion_mnist_{name}" for name in ("fast", "no_decay", "slow"))
METHODS = ("swa", "two_point", "ema")
ROWS = {
    "window, steps (of the step it begins at)": ("swa", "window"),
    "gain of SWA, nats": ("swa", "gain"),
    "SWA against a linear decay": ("swa", "ratio"),
    "two-point average against half the rate": ("two_point", "ratio"),
    "EMA against the EMA's own decay": ("ema", "ratio"),
}
SHORT = {EQUAL: "equal", WITHIN: "within ¼", NOT_KNOWN: "not known", DIFFERS: "differs by more"}


def measured(variant: str, kernel: str) -> pd.Series:
    """What the variant's table has of its late branch points together, at the widest window."""
    points = pd.read_csv(REPORTS / variant / "tables" / "equivalence_map.csv")
    rows = points[points["late"] & (points["kernel"] == kernel)]
    return rows.loc[rows["window_steps"].idxmax()]


def predicted(variant: str, kernel: str) -> float | None:
    """What the analytic model says there, mean over seeds."""
    path = REPORTS / variant / "tables" / "second_order.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    rows = table[(table["kernel"] == kernel) & (table["window_steps"] == measured(variant, kernel)["window_steps"])]
    return float(rows["predicted"].mean())


def cell(variant: str, kernel: str, column: str) -> str:
    """What the table of findings has to say."""
    row = measured(variant, kernel)
    if column == "window":
        return f"{row['window_steps']} ({row['window_over_branch']:.0%})".replace("%", " %")
    if column == "gain":
        return f"{row['gain']:.3f}"
    differs = differs_unknown(row["outcome"], row["ratio_low"], row["ratio_high"])
    return f"{percent(row['ratio'])}, {'differs' if differs else SHORT[row['outcome']]}"


def verdicts(claim: str, variants: Iterable[str] = ()) -> list[str]:
    """On one statement, by variant; without any named, of those that the table shows."""
    rows = [json.loads((REPORTS / variant / "claims.json").read_bytes()) for variant in variants or VARIANTS]
    return [row["verdict"] for claims in rows for row in claims if row["id"] == claim]


def span(ratios: Sequence[float]) -> str:
    """From the smallest to the largest size of shares of the gain that are all below 0."""
    return f"{percent(max(ratios))[1:]} to {percent(min(ratios))[1:]}"


def given_by_snapshots(variant: str) -> pd.Series:
    """What merged snapshots give of what a linear decay gave, by its steps and those between snapshots."""
    table = pd.read_csv(REPORTS / variant / "tables" / "hindsight.csv").dropna(subset=["cool_down"])
    linear = table.query("metric == 'loss' and decay == 'linear'")
    means = linear.groupby(["window_steps", "spacing_steps"])[["momentary", "merged", "cool_down"]].mean()
    return (means["momentary"] - means["merged"]) / (means["momentary"] - means["cool_down"])


def sentence_of_the_methods() -> str:
    """What holds in which runs."""
    emas = [measured(variant, "ema")["ratio"] for variant in VARIANTS]
    return (
        f"SWA is shown to end within a quarter of its gain of where a linear decay ends, in all {RUNS[len(VARIANTS)]}. "
        f"The EMA ends better than its own decay (a linear one was not tried) in all {RUNS[len(VARIANTS)]}, by "
        f"{span(emas)} of its gain. The two-point average is shown to end where half the rate ends on CIFAR-10 alone."
    )


def sentence_of_all_scores() -> str:
    """How often the statements hold as the paper has them."""
    swa, two_point, ema = (verdicts(f"average_is_schedule_{method}").count("reproduced") for method in METHODS)
    return (
        "Asked of loss and accuracy at once, on training and on validation data, as the paper does, it is shown for "
        f"SWA in {swa} of the {RUNS[len(VARIANTS)]}, for the two-point average in {two_point}, for the EMA in {ema}; "
        "it is refuted in none."
    )


def sentence_of_the_cosine() -> str:
    """What holds where the run's own rate falls."""
    ratios = [measured("fashion_mnist_cosine", kernel)["ratio"] for kernel in METHODS]
    return (
        f"On a run whose own rate falls along a cosine all three averages end better than their trips, by "
        f"{span(ratios)} of their gains; whether by less than a quarter is not known."
    )


def replicas(variant: str) -> pd.Series:
    """What SWA and its trip differ by, in shares of the gain, validation loss, and what is predicted of it."""
    table = pd.read_csv(REPORTS / variant / "tables" / "replica_parts.csv")
    means = table[(table["kernel"] == "swa") & (table["split"] == "validation")].mean(numeric_only=True)
    predictions = {f"predicted_{name}": means[f"predicted_{name}"] for name in ("noise", "rest")}
    return pd.Series({name: means[name] / means["gain"] for name in ("noise", "rest")} | predictions)


def replica_gain(variant: str) -> float:
    """What SWA gains in the replicas, validation loss."""
    table = pd.read_csv(REPORTS / variant / "tables" / "replica_parts.csv")
    return float(table[(table["kernel"] == "swa") & (table["split"] == "validation")]["gain"].mean())


def favours(variant: str, kernel: str = "swa") -> pd.DataFrame:
    """What noise costs an average more than its trip, nats: a row a seed, a column a split."""
    table = pd.read_csv(REPORTS / variant / "tables" / "mean_gradient_gaps.csv")
    return table[table["kernel"] == kernel].pivot_table(index="seed", columns="split", values="favour")


def favoured(variant: str, kernel: str = "swa") -> bool:
    """Whether noise costs the average more than its trip, by intervals clear of 0 in both losses."""
    found = favours(variant, kernel)
    return all(student_interval(found[split].to_numpy(), 0.95).low > 0 for split in found)


def sentence_of_the_causes() -> str:
    """What the analytic model explains, and what it does not."""
    ours = "fashion_mnist_no_decay"
    found, runs = replicas(ours), (*REPLICATED, "cifar10_small")
    scatter, scatter_predicted, place, place_predicted = (
        percent(abs(found[name]))[1:] for name in ("noise", "predicted_noise", "rest", "predicted_rest")
    )
    cost = student_interval(favours(ours)["validation"].to_numpy(), 0.95)
    share = percent(cost.value / replica_gain(ours))[1:]
    swa, two_point = (sum(favoured(run, kernel) for run in runs) for kernel in ("swa", "two_point"))
    return (
        "Why do they part? For SWA on Fashion-MNIST two effects cancel. In a further run there, without weight decay, "
        "replicas on other batches tell the scatter that noise makes from the place where the means of the weights "
        f"lie: scatter favours the SWA average by {scatter} of its gain (a quadratic model with the measured curvature "
        f"says {scatter_predicted}; five seeds do not show that the two agree within a quarter), the place favours the "
        f"trip by {place} ({place_predicted} predicted). Noise has a part in the place, too. Take four batch sequences "
        "from one branch point. On a quadratic loss with one Hessian, the mean of the weights of a run on each is one "
        "run on the mean of their gradients. Here the mean of the SWA averages lies higher, by "
        f"{cost.value:.4f} nats ({cost.low:.4f} to {cost.high:.4f}; about {share} of the gain) more than that of its "
        f"trips. For SWA that is clear of 0 in {swa} of {len(runs)} settings, three of them on Fashion-MNIST; for the "
        f"two-point average in {two_point}, so that the statement on both is undecided. "
        f"[More, and what is not told apart](reports/{ours}/README.md#does-noise-move-the-mean-of-the-weights)."
    )


def sentence_of_the_model() -> str:
    """What the analytic model gives, by run."""
    told = []
    for variant, name in NAMES.items():
        numbers = [percent(predicted(variant, kernel)) for kernel in METHODS]
        told.append("for {} SWA {}, two-point {}, EMA {}".format(name, *numbers))
    return (
        f"From the curvature that was measured, the quadratic model predicts {'; '.join(told)}. On Fashion-MNIST SWA's "
        "trip ends better than that, at three rates, and without weight decay too."
    )


def sentence_of_snapshots() -> str:
    """How much of a decay a few snapshots give, on text."""
    given = given_by_snapshots("shakespeare")
    tenth, fifth, sparse = (f"{100 * given[key]:.0f} %" for key in ((200, 20), (400, 20), (400, 200)))
    return (
        "From few snapshots, in place of every iterate: on text, snapshots every 20 steps give "
        f"{tenth} of what a linear decay over a tenth of the run gives, {fifth} of one over a fifth; every 200 steps, "
        f"{sparse}. [Merging snapshots](docs/merge.md)."
    )


def within(correction: str) -> str:
    """How many losses lie within the forecasts with a correction that the command gives, for fresh seeds."""
    table = pd.read_csv(REPORTS / FRESH / "tables" / "forecasts.csv")
    given = table[table["given"] & (table["metric"] == "loss") & (table["correction"] == correction)]
    return f"{given['covered'].sum():.0f} of {len(given)}"


def sentence_of_forecasts() -> str:
    """By how much forecasts miss."""
    table = pd.read_csv(REPORTS / "shakespeare" / "tables" / "forecasts.csv")
    errors = errors_by_seed(table).mean()
    losses = table[table["metric"] == "loss"].groupby(["seed", "branch", "decay", "window_steps"])
    all_kinds = (losses["correction"].nunique() == losses["correction"].nunique().max()).sum()
    return (
        "If the rate begins to decay now, where will the loss end? Forecasts were sealed before the decays ran. On "
        f"text, the forecast from the run alone misses by {errors['none']:.3f} nats (the run's present loss by "
        f"{errors['momentary']:.3f}). Three earlier cool-downs do not improve it ({errors['learned']:.3f}); the "
        f"multi-power law, which needs them, is best ({errors['power_law']:.3f}; all over the {all_kinds} of "
        f"{losses.ngroups} decays that have three). Of 90 % intervals, for seeds that nothing was chosen by, "
        f"{within('none')} hold without cool-downs and {within('learned')} with them. "
        "[How to forecast, and when not to](docs/forecast.md)."
    )


FIRST = (sentence_of_the_methods, sentence_of_the_causes, sentence_of_forecasts)  # before the figure
MORE = (sentence_of_all_scores, sentence_of_the_cosine, sentence_of_the_model, sentence_of_snapshots)


@pytest.mark.parametrize("name", ROWS)
def test_findings_are_those_of_the_tables(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {name} |")]
    found = [text.strip() for text in line.strip("|").split("|")][1:]
    assert found == [cell(variant, *ROWS[name]) for variant in VARIANTS]


@pytest.mark.parametrize("sentence", [*FIRST, *MORE], ids=lambda each: each.__name__)
def test_sentences_are_those_of_the_tables(sentence):
    first, more = README.split("make quick", 1)
    assert f"- {sentence()}\n" in (first if sentence in FIRST else more)


def test_what_the_sentences_say_in_words():
    assert all(measured(variant, "swa")["outcome"] in (EQUAL, WITHIN) for variant in VARIANTS)
    assert all(measured(variant, "ema")["ratio_high"] < 0 for variant in VARIANTS)
    known = {variant for variant in VARIANTS if measured(variant, "two_point")["outcome"] != NOT_KNOWN}
    assert known <= {"cifar10_small", "cifar10_resnet20"}
    assert {measured(variant, "two_point")["outcome"] for variant in known} <= {EQUAL, WITHIN}
    assert not any("not reproduced" in verdicts(f"average_is_schedule_{method}") for method in METHODS)
    of_cosine = [measured("fashion_mnist_cosine", kernel) for kernel in METHODS]
    assert all(row["ratio_high"] < 0 and row["outcome"] == NOT_KNOWN for row in of_cosine)
    for variant in ("fashion_mnist", *(f"fashion_mnist_{name}" for name in ("fast", "slow", "no_decay"))):
        assert measured(variant, "swa")["ratio"] > predicted(variant, "swa") + 0.05
    assert verdicts("second_order_predicts", NAMES) == ["reproduced", "reproduced", "undecided"]
    assert verdicts("trip_mean_is_lower", ["cifar10_small"]) == ["undecided"]
    assert verdicts("replica_noise_predicted", ["fashion_mnist_no_decay"]) == ["undecided"]
    for variant in REPLICATED:
        noise, rest, predicted_rest = replicas(variant)[["noise", "rest", "predicted_rest"]]
        assert noise < 0 < rest
        assert abs(noise + rest) < 0.1 * rest + 0.05  # "two effects cancel"
        favour = favours(variant)["validation"].mean() / replica_gain(variant)
        assert 0 < favour < rest - predicted_rest  # "a part in the place"


def test_the_guide_to_forecasts_tells_how_many_came_true():
    guide = Path("docs/forecast.md").read_text(encoding="utf-8")
    cells = pd.read_csv(REPORTS / FRESH / "tables" / "forecast_cells.csv")
    held = cells.set_index(["correction", "window_steps", "decay"])[["covered", "n"]].sort_index()
    told = {key: f"{row['covered']} of {row['n']}" for key, row in held.iterrows()}
    for correction in ("none", "learned"):
        for steps in (200, 400):
            parts = " | ".join(told[(correction, steps, decay)] for decay in ("linear", "cosine", "1-sqrt"))
            assert f"| {correction} | {steps} steps | {parts} |" in guide
    lowest = [pd.read_csv(path)["covered_high"].min() for path in REPORTS.glob("*/tables/forecast_cells.csv")]
    assert ("In no cell of any report are they shown to hold less than" in guide) == (min(lowest) >= 0.8)
    known = pd.read_csv(REPORTS / "cifar10_resnet20" / "tables" / "forecast_cells.csv").groupby("correction")
    none, learned = (
        f"{here['covered'].sum()} of {here['n'].sum()}" for here in map(known.get_group, ("none", "learned"))
    )
    assert f"{none} lay within their intervals without a correction, {learned} with a learned one" in guide
    beats = verdicts("forecast_beats_power_law", [name for name in VARIANTS if name != "fashion_mnist"])
    assert beats == ["undecided", "not reproduced", "undecided", "not reproduced"]


def test_other_seeds_are_of_the_same_run():
    one, other = (
        yaml.safe_load((REPORTS / variant / "config.yaml").read_text(encoding="utf-8"))
        for variant in ("shakespeare", FRESH)
    )
    assert not set(one["seeds"]) & set(other["seeds"])
    for section in ("data", "model", "burn_in", "evaluation", "side_trips", "forecast", "claims"):
        assert one[section] == other[section]


def test_the_guide_to_merging_tells_how_much_of_a_decay_merged_snapshots_give():
    guide = Path("docs/merge.md").read_text(encoding="utf-8").split("of what the decay gave |\n")[1].split("\n\n")[0]
    runs = {"Shakespeare": "shakespeare", "CIFAR-10": "cifar10_small", "Fashion-MNIST": "fashion_mnist_adamw"}
    variant = ""
    for line in guide.splitlines()[1:]:
        name, *told = (text.strip() for text in line.strip("|").split("|"))
        variant = runs[name.partition(",")[0]] if name else variant
        window, spacing = int(told[0]), int(told[2])
        given = given_by_snapshots(variant)[window, spacing]
        realised = 1 - 1 / (4 * (window / spacing) ** 2)
        steps = yaml.safe_load((REPORTS / variant / "config.yaml").read_text(encoding="utf-8"))["burn_in"]["steps"]
        expected = [f"{100 * window / steps:.0f} %", f"{100 * realised:.0f} %", f"{100 * given:.0f} %"]
        assert [told[1], *told[3:]] == expected


def test_the_picture_shows_the_tables_of_all_reports():
    shown = pd.read_csv(REPORTS / "average_or_trip.csv").set_index(["variant", "kernel"])
    there = [path.parent.name for path in REPORTS.glob("*/claims.json")]
    known = {(variant, kernel) for variant in there for kernel in METHODS if measured(variant, kernel)["ratio_low"] < 9}
    assert set(shown.index) == known  # of the rest the gain is not clear of 0, so that its ratio means nothing
    for variant, kernel in shown.index:
        row = shown.loc[(variant, kernel)]
        table = measured(variant, kernel)
        names = [name for name in shown.columns if name != "predicted"]
        assert row[names].astype(str).to_dict() == table[names].astype(str).to_dict()
        model = predicted(variant, kernel)
        assert pd.isna(row["predicted"]) if model is None else row["predicted"] == pytest.approx(model, rel=1e-6)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README):
        assert target.startswith("https://") or Path(target).exists(), target
