"""The numbers of README's findings are those of the committed tables."""

import json
import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from sidetrip.config import Config
from sidetrip.experiments.forecast.figure import errors_by_seed
from sidetrip.index.average_or_trip import percent
from sidetrip.index.lag import lags
from sidetrip.loss_forecast import CONFIDENCE
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN
from sidetrip.verdicts.statistics import student_interval

README = Path("README.md").read_text(encoding="utf-8")
FINDINGS = README + Path("docs/findings.md").read_text(encoding="utf-8")
REPORTS = Path("reports")
VARIANTS = ("cifar10_resnet20", "cifar10_small", "fashion_mnist", "fashion_mnist_adamw", "shakespeare")
FRESH = "shakespeare_other_seeds"  # text again, with seeds that the law of the forecasts was not chosen by
CURVED = ("cifar10_resnet20", "cifar10_small", "fashion_mnist")  # whose curvature was measured
REPLICATED = tuple(f"fashion_mnist_{name}" for name in ("fast", "no_decay", "slow"))
UNDECAYED = "fashion_mnist_no_decay"
LESS_NOISE = "fashion_mnist_other_seeds"  # where it was tested what a lower rate costs
WINDOWS = "fashion_mnist_windows"
TEXT = "shakespeare_windows"
METHODS = ("swa", "two_point", "ema")


def measured(variant: str, kernel: str, narrow: bool = False) -> pd.Series:
    """What the map has of the late branch points of a run together, over all its seeds, at the widest window."""
    points = pd.read_csv(REPORTS / "equivalence_map.csv")
    rows = points[points["late"] & (points["kernel"] == kernel) & (points["variant"] == variant)]
    return rows.loc[rows["window_steps"].idxmin() if narrow else rows["window_steps"].idxmax()]


def predicted(variant: str, kernel: str) -> float:
    """What the analytic model says there, mean over seeds."""
    rows = pd.read_csv(REPORTS / "average_or_trip.csv").set_index(["variant", "kernel"])
    return float(rows.loc[(variant, kernel), "predicted"])


def cells(variant: str) -> list[str]:
    """What the table of findings has to say of a run."""
    rows = [measured(variant, kernel) for kernel in METHODS]
    rows.insert(1, measured(variant, "swa", narrow=True))
    told = []
    for row in rows:
        bold = "**" if row["ratio_low"] * row["ratio_high"] > 0 else ""
        told.append(f"{bold}{percent(row['ratio'])}{bold}{', < ¼' if row['outcome'] in (EQUAL, WITHIN) else ''}")
    return told


def verdicts(claim: str, variants: Iterable[str] = VARIANTS) -> list[str]:
    """On one statement, by variant."""
    rows = [json.loads((REPORTS / variant / "claims.json").read_bytes()) for variant in variants]
    return [row["verdict"] for claims in rows for row in claims if row["id"] == claim]


def in_all_scores(kernel: str) -> list[str]:
    """Verdicts on loss and accuracy at once, of the runs in the table of findings."""
    rows = pd.read_csv(REPORTS / "average_or_trip.csv")
    return list(rows.loc[rows["variant"].isin(VARIANTS) & (rows["kernel"] == kernel), "in_all_scores"])


def span(variants: Iterable[str], kernels: Iterable[str]) -> list[str]:
    """Smallest and largest size of ratios that are all below 0."""
    ratios = [measured(variant, kernel)["ratio"] for variant in variants for kernel in kernels]
    return [percent(max(ratios))[1:], percent(min(ratios))[1:]]


def lead_of_half_the_rate() -> list[str]:
    """Smallest and largest ratio of the two-point average on Fashion-MNIST with SGD, in four runs clear of 0."""
    rows = [measured(variant, "two_point") for variant in ("fashion_mnist", *REPLICATED)]
    assert all(row["ratio_low"] > 0 for row in rows)
    return [percent(limit(row["ratio"] for row in rows))[1:] for limit in (min, max)]


def lead_over_narrow_windows() -> list[str]:
    """Smallest and largest ratio of SWA there, all clear of 0, and not known on Fashion-MNIST alone."""
    rows = [measured(variant, "swa", narrow=True) for variant in (*VARIANTS, *REPLICATED)]
    assert all(row["ratio_high"] < 0 for row in rows)
    assert all((row["outcome"] == NOT_KNOWN) == row["variant"].startswith("fashion") for row in rows)
    return [percent(limit(row["ratio"] for row in rows))[1:] for limit in (max, min)]


def given_by_snapshots(variant: str) -> pd.Series:
    """What merged snapshots give of what a linear decay gave, by its steps and those between snapshots."""
    table = pd.read_csv(REPORTS / variant / "tables" / "hindsight.csv").dropna(subset=["cool_down"])
    linear = table.query("metric == 'loss' and decay == 'linear'")
    means = linear.groupby(["window_steps", "spacing_steps"])[["momentary", "merged", "cool_down"]].mean()
    return (means["momentary"] - means["merged"]) / (means["momentary"] - means["cool_down"])


def replicas(variant: str) -> pd.Series:
    """What SWA and its trip differ by in validation loss, measured and predicted, in shares of the gain; the gain."""
    table = pd.read_csv(REPORTS / variant / "tables" / "replica_parts.csv")
    means = table[(table["kernel"] == "swa") & (table["split"] == "validation")].mean(numeric_only=True)
    return pd.concat([means[["noise", "rest"]] / means["gain"], means[["predicted_noise", "predicted_rest", "gain"]]])


def with_and_without_noise(variant: str) -> tuple[pd.Series, pd.Series]:
    """Mean loss of the replicas, and what is left of it without the noise since the branch point."""
    keys = ["seed", "kernel", "window_steps", "split", "model"]
    one = pd.read_csv(REPORTS / variant / "tables" / "replicas.csv").groupby(keys)["loss"].agg(["mean", "size"])
    of_mean = pd.read_csv(REPORTS / variant / "tables" / "replica_means.csv").set_index(keys)["loss"]
    return one["mean"], one["mean"] - (one["mean"] - of_mean) * one["size"] / (one["size"] - 1)


def ahead_of_the_run(variant: str) -> pd.Series:
    """By seed: validation loss of the run − that of SWA's trip, both without the noise since the branch point."""
    rest = with_and_without_noise(variant)[1].xs("validation", level="split")
    trips = rest.xs(("swa", "trip"), level=("kernel", "model"))
    return rest.xs(("none", "momentary"), level=("kernel", "model")).reindex(trips.index) - trips


def favours(variant: str, kernel: str = "swa") -> pd.DataFrame:
    """What noise costs an average more than its trip, nats: a row a seed, a column a split."""
    table = pd.read_csv(REPORTS / variant / "tables" / "mean_gradient_gaps.csv")
    return table[table["kernel"] == kernel].pivot_table(index="seed", columns="split", values="favour")


def favoured(variant: str, kernel: str) -> bool:
    """Whether noise costs the average more than its trip, by intervals clear of 0 in both losses."""
    found = favours(variant, kernel)
    return all(student_interval(found[split].to_numpy(), 0.95).low > 0 for split in found)


def shares_of_the_causes() -> list[str]:
    """Scatter and place, measured and predicted, and what noise has in the place."""
    parts = replicas(UNDECAYED)
    shares = [abs(parts[name]) for name in ("noise", "predicted_noise", "rest", "predicted_rest")]
    shares.append(favours(UNDECAYED)["validation"].mean() / parts["gain"])
    return [percent(share)[1:] for share in shares]


def misses_of_the_predictions() -> list[list[str]]:
    """By how much predicting 0, the model, and the model with the lag miss: a row each, CIFAR-10 and Fashion-MNIST."""
    rows = pd.read_csv(REPORTS / "average_or_trip.csv").dropna(subset=["predicted", "lag"])
    model = rows["ratio"] - rows["predicted"]
    data = rows["variant"].str.split("_").str[0]
    missed = [(each**2).groupby(data).mean() ** 0.5 for each in (rows["ratio"], model, model - rows["lag"])]
    return [[percent(each[name])[1:] for name in ("cifar10", "fashion")] for each in missed]


def model_by_window() -> list[str]:
    """SWA's difference, measured and predicted, where the default's curvature was measured, over two windows."""
    variants = (LESS_NOISE, "fashion_mnist_more_seeds")
    rows = pd.concat([pd.read_csv(REPORTS / variant / "tables" / "second_order.csv") for variant in variants])
    rows["nearer"] = rows["measured"] ** 2 - (rows["predicted"] - rows["measured"]) ** 2
    told = [str(rows["seed"].nunique())]
    for (window, of_window), sign in zip(rows.groupby("window_steps"), (1, -1), strict=True):
        assert student_interval(sign * of_window.groupby("seed")["nearer"].mean().to_numpy(), 0.95).low > 0
        means = of_window[of_window["kernel"] == "swa"][["measured", "predicted"]].mean()
        told += [str(window), *map(percent, means)]
    return told


def window_by_window() -> list[str]:
    """SWA's differences over all windows of one run, what the model says of them, and the widest two-point average's.

    The model agrees where the interval of its difference from what was measured reaches over 0, each seed by its own
    gain.
    """
    points = pd.read_csv(REPORTS / "equivalence_map.csv").query("variant == @WINDOWS").set_index("kernel")
    swa, widest = points.loc["swa"].sort_values("window_steps"), points.loc["two_point"].iloc[-1]
    assert widest["outcome"] == DIFFERS
    table = pd.read_csv(REPORTS / WINDOWS / "tables" / "second_order.csv").query("kernel == 'swa'")
    says = table.groupby("window_steps")["predicted"].mean()
    rest = table.assign(rest=table["measured"] - table["window_steps"].map(says)).groupby("window_steps")["rest"]
    agrees = rest.apply(lambda values: student_interval(values.to_numpy(), 0.95).low <= 0)
    assert list(says.index[agrees]) == [20, 40]
    told = [str(table["seed"].nunique())]
    for row in swa.itertuples():
        told += [percent(row.ratio), str(row.window_steps)]
    share = f"{100 * swa['window_over_branch'].iloc[-1]:.0f} %"
    model = [percent(says[steps]) for steps in (20, 40)]
    later = [percent(limit(says[says.index >= 80])) for limit in (min, max)]
    return [*told, share, "40", *model, "80", *later, "240", percent(widest["ratio"])[1:]]


def windows_of_cifar10() -> list[str]:
    """How many seeds, the windows, and SWA's differences over them, predicted and measured, where the model agrees."""
    variant, keys = "cifar10_small_windows", ["kernel", "window_steps"]
    points = pd.read_csv(REPORTS / "equivalence_map.csv").query("variant == @variant and kernel == 'swa'")
    points = points.sort_values("window_steps")
    table = pd.read_csv(REPORTS / variant / "tables" / "second_order.csv")
    says = table.groupby(keys)["predicted"].mean()
    rest = (table.set_index(keys)["measured"] - says).groupby(keys)
    intervals = rest.apply(lambda values: student_interval(values.to_numpy(), 0.95))
    assert all(interval.low <= 0 <= interval.high for interval in intervals)
    assert points["outcome"].iloc[-1] == EQUAL
    assert points["ratio"].is_monotonic_increasing  # "come ever nearer"
    windows = [str(steps) for steps in points["window_steps"].iloc[[0, -1]]]
    share = f"{100 * points['window_over_branch'].iloc[-1]:.0f} %"
    told = [percent(each.iloc[at]) for each in (says.loc["swa"], points["ratio"]) for at in (0, -1)]
    return [str(table["seed"].nunique()), *windows, share, *told, windows[-1]]


def windows_of_text() -> list[str]:
    """SWA's differences over all windows of text, two-point averages' that are more than a quarter, what is behind."""
    points = pd.read_csv(REPORTS / "equivalence_map.csv").query("variant == @TEXT and late").sort_values("window_steps")
    swa, two = (points[points["kernel"] == kernel] for kernel in ("swa", "two_point"))
    told = [str(swa["n"].iloc[0])]
    for row in swa.itertuples():
        told += [percent(row.ratio), str(row.window_steps)]
    told.append(f"{100 * swa['window_over_branch'].iloc[-1]:.0f} %")
    assert list((two["outcome"] == DIFFERS)[-3:]) == [False, True, True]
    assert two["outcome"].iloc[-3] == EQUAL  # "eight further seeds say the same", over the window of the table
    assert two["window_steps"].iloc[-3] == measured("shakespeare", "two_point")["window_steps"]
    for row in two[-2:].itertuples():
        told += [percent(row.ratio)[1:], str(row.window_steps)]
    behind = behind_without_noise()
    return [*told, f"{behind['average'].mean():.3f}", told[-1], f"{behind['trip'].mean():.3f}"]


def behind_without_noise() -> pd.DataFrame:
    """By seed: by how much SWA and its trip are behind the run on text, validation loss without noise, nats."""
    rest = with_and_without_noise(TEXT)[1].xs("validation", level="split")
    levels = ["kernel", "window_steps", "model"]
    run, average, trip = (
        rest.xs(key, level=levels)
        for key in (("none", 400, "momentary"), ("swa", 400, "average"), ("swa", 400, "trip"))
    )
    return pd.DataFrame({"average": average - run, "trip": trip - run})


def numbers_of_replicas_on_text() -> list[str]:
    """What SWA and its trip are behind the run, the lag of the average, and the noise and all that parts the two."""
    behind, parts = behind_without_noise(), pd.read_csv(REPORTS / TEXT / "tables" / "replica_parts.csv")
    parts = parts.query("kernel == 'swa' and split == 'validation'")
    points = pd.read_csv(REPORTS / TEXT / "tables" / "by_point.csv")
    lag = lags(points, cast(Config, OmegaConf.load(REPORTS / TEXT / "config.yaml")))["swa"]
    trip = student_interval(behind["trip"].to_numpy(), 0.95)
    assert 0.28 < (behind["trip"] / behind["average"]).mean() < 0.38  # "a third of it"
    told = [behind["average"].mean(), lag, trip.value, trip.low, trip.high, -parts["noise"].mean()]
    return ["400", *(f"{each:.4f}" for each in (*told, parts["difference"].mean()))]


def growth_of_the_excess() -> list[str]:
    """SWA's excess over the model's prediction, nats, over three windows, and how far it is from proportional."""
    points = pd.read_csv(REPORTS / WINDOWS / "tables" / "by_point.csv")
    points = points.query("late and kernel == 'swa' and split == 'validation' and metric == 'loss'")
    points = points.groupby(["window_steps", "seed"])[["average_minus_trip", "gain"]].mean().reset_index()
    table = pd.read_csv(REPORTS / WINDOWS / "tables" / "second_order.csv").query("kernel == 'swa'")
    says = table.groupby("window_steps")["predicted"].mean()
    points["excess"] = points["average_minus_trip"] - points["gain"] * points["window_steps"].map(says)
    excess = points.pivot_table(index="seed", columns="window_steps", values="excess")
    told = [part for steps in (40, 120, 240) for part in (f"{excess[steps].mean():.4f}", str(steps))]
    short = student_interval((2 * excess[120] - excess[240]).to_numpy(), 0.95)
    return [*told, *(f"{each:.4f}" for each in (short.value, short.low, short.high))]


def cost_of_a_lower_rate() -> list[str]:
    """What SWA's trip and half the rate are behind on the mean gradient, and by how much less noise lifts them.

    The scatter that is left, a quarter of what one batch makes, is taken away as the replicas without decay have it.
    """
    keys = ["kernel", "model", "split"]
    noisy, rest = with_and_without_noise(UNDECAYED)
    scatter = (noisy - rest).groupby(keys).mean()
    lifts = pd.read_csv(REPORTS / LESS_NOISE / "tables" / "mean_gradient_lifts.csv")
    lifts = lifts.set_index([*keys, "seed"]).sort_index()
    costs, paid_back = [], []
    for kernel, split in product(("swa", "two_point"), ("train", "validation")):
        run, trip = ("none", "momentary", split), (kernel, "trip", split)
        behind = lifts.loc[trip] - lifts.loc[run]
        costs.append(behind["gradients"] - (scatter[trip] - scatter[run]) / 4)
        paid_back.append(-behind["lift"])
    found = [student_interval((sum(each) / 4).to_numpy(), 0.95) for each in (costs, paid_back)]
    told = [f"{each:.4f}" for interval in found for each in (interval.value, interval.low, interval.high)]
    return [str(len(costs[0])), *told]


def counts_of_the_map() -> list[str]:
    """Late points at narrow windows, the least and the largest of these, and how many are not known."""
    points = pd.read_csv(REPORTS / "equivalence_map.csv").query("schedule == 'constant' and late")
    here = points[points["window_over_branch"] <= 0.1 + 1e-9]
    least = f"{100 * here['window_over_branch'].min():.1f} %"
    return [str(len(here)), least, "10 %", str((here["outcome"] == NOT_KNOWN).sum())]


def numbers_of_the_mean_gradient() -> list[str]:
    """What noise does to the mean."""
    runs = (*REPLICATED, "cifar10_small", LESS_NOISE)
    cost = student_interval(favours(UNDECAYED)["validation"].to_numpy(), 0.95)
    nats = [f"{each:.4f}" for each in (cost.value, cost.low, cost.high)]
    swa, two_point = (sum(favoured(run, kernel) for run in runs) for kernel in ("swa", "two_point"))
    in_how_many = ["0", str(swa), str(len(runs)), str(two_point)]  # "clear of 0 in ..."
    return [*nats, percent(cost.value / replicas(UNDECAYED)["gain"])[1:], *in_how_many]


def numbers_of_snapshots() -> list[str]:
    """How much of a decay a few snapshots give, on text."""
    given = given_by_snapshots("shakespeare")
    tenth, fifth, sparse = (f"{100 * given[key]:.0f} %" for key in ((200, 20), (400, 20), (400, 200)))
    return ["20", tenth, fifth, "200", sparse]


def within(correction: str) -> list[str]:
    """How many losses lie within the forecasts that the command gives for fresh seeds, and of how many."""
    table = pd.read_csv(REPORTS / FRESH / "tables" / "forecasts.csv")
    covered = table.query("given and metric == 'loss' and correction == @correction")["covered"]
    return [f"{covered.sum():.0f}", str(len(covered))]


def numbers_of_forecasts() -> list[str]:
    """By how much forecasts miss, how many decays have all kinds of them, and how often intervals hold."""
    first, fresh = (pd.read_csv(REPORTS / name / "tables" / "forecasts.csv") for name in ("shakespeare", FRESH))
    kinds = ["none", "learned", "power_law", "momentary"]
    missed, anew = ([f"{e:.3f}" for e in errors_by_seed(table).mean()[kinds]] for table in (first, fresh))
    losses = first[first["metric"] == "loss"].groupby(["seed", "branch", "decay", "window_steps"])
    having = losses["correction"].nunique()
    decays = [str((having == having.max()).sum()), str(len(having))]
    return [*decays, *missed, *anew, f"{100 * CONFIDENCE:.0f} %", *within("none"), *within("learned")]


SENTENCES = {  # by their beginning: the numbers in them
    "At the widest window SWA": lambda: [*span(VARIANTS, ["ema"]), *lead_of_half_the_rate()],
    "Over narrow windows SWA": lead_over_narrow_windows,
    "Where the model fails": model_by_window,
    "On Fashion-MNIST a lower rate slows the trip, too": cost_of_a_lower_rate,
    "For SWA on Fashion-MNIST the two effects": shares_of_the_causes,
    "Window by window": window_by_window,
    "The same on CIFAR-10 with ResNet-8": windows_of_cifar10,
    "The same on text": windows_of_text,
    "On text, with AdamW": numbers_of_replicas_on_text,
    "How the rest grows": growth_of_the_excess,
    "Not shown": counts_of_the_map,
    "If the rate begins to decay now, where will the loss end?": numbers_of_forecasts,
    "Asked of loss and accuracy at once": lambda: [
        str(in_all_scores(method).count("reproduced")) for method in METHODS
    ],
    "On a run whose own rate falls along a cosine": lambda: span(["fashion_mnist_cosine"], METHODS),
    "From the curvature that was measured": lambda: [
        percent(predicted(variant, kernel)) for variant in CURVED for kernel in METHODS
    ],
    "Noise moves the place": numbers_of_the_mean_gradient,
    "From few snapshots": numbers_of_snapshots,
}


def table_after(mark: str) -> list[list[str]]:
    """The cells of a table of README, without the first of each row, from a mark on."""
    lines = README[README.index(mark) :].removeprefix(mark if mark.endswith("\n") else "").split("\n\n", 1)[0]
    return [[text.strip() for text in line.strip("|").split("|")][1:] for line in lines.splitlines()]


def test_findings_are_those_of_the_tables():
    assert table_after("| --- | --- | --- | --- | --- |\n") == [cells(variant) for variant in VARIANTS]


def test_the_misses_of_the_model_are_those_of_the_tables():
    assert table_after("| predicting") == misses_of_the_predictions()


@pytest.mark.parametrize("beginning", SENTENCES)
def test_numbers_of_sentences_are_those_of_the_tables(beginning):
    (line,) = [line for line in FINDINGS.splitlines() if line.startswith(f"- {beginning}")]
    names_and_links = r"[\w-]+-\d+|\]\(.*?\)"
    assert re.findall(r"[+−]?\d+(?:\.\d+)?(?: %)?", re.sub(names_and_links, "", line)) == SENTENCES[beginning]()


def test_the_runs_of_the_table_are_as_told():
    rows = [measured(variant, "swa") for variant in VARIANTS]
    shares = [f"{100 * limit(row['window_over_branch'] for row in rows):.0f} %" for limit in (min, max)]
    *seeds, last = (str(row["n"]) for row in rows)
    narrow = [measured(variant, "swa", narrow=True)["window_over_branch"] for variant in VARIANTS]
    shares += [f"{100 * limit(narrow):.1f} %" for limit in (min, max)]
    told = "{} to {} of the step it begins at, the narrow one {} to {}.".format(*shares)
    assert told in README
    assert f"they have {', '.join(seeds)} and {last} seeds" in README


def test_what_the_sentences_say_in_words():
    assert all(
        measured(variant, kernel)["outcome"] in (EQUAL, WITHIN) for variant in VARIANTS for kernel in ("swa", "ema")
    )
    assert all(measured(variant, "ema")["ratio_high"] < 0 for variant in VARIANTS)
    known = {variant for variant in VARIANTS if measured(variant, "two_point")["outcome"] != NOT_KNOWN}
    assert known == set(VARIANTS) - {"fashion_mnist"}
    assert {measured(variant, "two_point")["outcome"] for variant in known} <= {EQUAL, WITHIN}
    assert not any("not reproduced" in in_all_scores(method) for method in METHODS)
    of_cosine = [measured("fashion_mnist_cosine", kernel) for kernel in METHODS]
    assert all(row["ratio_high"] < 0 and row["outcome"] == NOT_KNOWN for row in of_cosine)
    for variant in ("fashion_mnist", *(f"fashion_mnist_{name}" for name in ("fast", "slow", "no_decay"))):
        assert measured(variant, "swa")["ratio"] > predicted(variant, "swa") + 0.05
    assert verdicts("second_order_predicts", (*CURVED[:2], LESS_NOISE)) == ["reproduced", "reproduced", "undecided"]
    assert verdicts("trip_mean_is_lower", ["cifar10_small"]) == ["undecided"]
    assert verdicts("replica_noise_predicted", ["fashion_mnist_no_decay"]) == ["undecided"]
    assert student_interval(ahead_of_the_run("cifar10_small").to_numpy(), 0.95).high < 0  # "trips are behind"
    assert all(ahead_of_the_run(variant).mean() > 0 for variant in REPLICATED)  # "in the three runs ... they are not"
    for variant in REPLICATED:
        noise, rest, predicted_rest, gain = replicas(variant)[["noise", "rest", "predicted_rest", "gain"]]
        assert noise < 0 < rest
        assert abs(noise + rest) < 0.1 * rest + 0.05  # "two effects cancel"
        favour = favours(variant)["validation"].mean() / gain
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


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README):
        assert target.startswith("https://") or Path(target).exists(), target
