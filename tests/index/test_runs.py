"""Variants that differ in nothing but their seeds are one run, judged by all of them."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from verdict_tables import base, config

from sidetrip.config import Config, load_params, resolve, save_config
from sidetrip.index.runs import gathered, read_settings, runs_in_order
from sidetrip.tables import write_table


def variant(name: str, **changes) -> Config:
    """Settings as the index reads them."""
    return of_report(replace(config(**changes), variant=name))


def of_report(settings: Config) -> Config:
    with TemporaryDirectory() as folder:
        save_config(settings, Path(folder, "config.yaml"))
        return read_settings(Path(folder, "config.yaml"), base())


@pytest.mark.parametrize(
    ("change", "one"),
    [
        ({"seeds": [7]}, True),
        ({"experiments.alignment": False}, True),
        ({"branch.early": []}, True),
        ({"side_trips.every": 20}, True),
        ({"alignment.steps": 5}, True),
        ({"burn_in.rate": 0.01}, False),
        ({"branch.points": [25, 30]}, False),
        ({"side_trips.ema_newest": 0.1}, False),
        ({"evaluation.validation_samples": 100}, False),
        ({"claims.level": 0.01}, False),
        ({"model.width": 4}, False),
        ({"data.shift": 1}, False),
    ],
    ids=str,
)
def test_variants_are_one_run_if_what_trips_depend_on_is_the_same(change, one):
    assert len(runs_in_order([variant("a"), variant("b", **change)])) == (1 if one else 2)


def test_other_seeds_of_a_run_are_of_the_same_run():
    params = load_params(Path("params.yaml"))
    names = [name for name in params.variants if str(name).endswith("_other_seeds")]
    assert names
    for name in map(str, names):
        pair = [resolve(params, each) for each in (name, name.removesuffix("_other_seeds"))]
        assert len(runs_in_order([of_report(each) for each in pair])) == 1, name
        assert not set(pair[0].seeds) & set(pair[1].seeds)


def test_tables_are_those_of_all_variants_with_each_seed_of_the_first_that_has_it(tmp_path):
    """Though rows differ, as where a report has divided by the mean of its own seeds; without seeds, the first's."""
    first, second = {"seed": [0, 1], "predicted": [0.0, 0.0]}, {"seed": [1, 2], "predicted": [1.0, 2.0]}
    for path, columns in {
        "a/tables/both": first,
        "b/tables/both": second,
        "b/tables/one": second,
        "b/tables/seedless": {"ratio": [1.0]},
        "c/tables/seedless": {"ratio": [2.0]},
    }.items():
        write_table(pd.DataFrame(columns), tmp_path / f"{path}.csv")
    found = {name: table.to_dict("list") for name, table in gathered(tmp_path, ("a", "b", "c")).items()}
    both = {"seed": [0, 1, 2], "predicted": [0.0, 0.0, 2.0]}
    assert found == {"both": both, "one": second, "seedless": {"ratio": [1.0]}}


def test_constant_rates_then_sgd_then_pictures_come_first():
    text = {"data.name": "shakespeare", "model.width": 4}
    configs = [
        variant("a", **{"burn_in.schedule": "cosine"}),
        variant("b", **{"burn_in.optimizer.name": "adamw", "model.name": "decoder", **text}),
        variant("c", **{"burn_in.optimizer.name": "adamw"}),
        variant("d"),
        variant("e", **{"burn_in.optimizer.weight_decay": 0.0}),
    ]
    found = {run.name: run for run in runs_in_order(configs)}
    assert list(found) == ["d", "e", "c", "b", "a"]
    assert found["d"].lines == ("Fashion-MNIST, ResNet-8", "SGD, λ = 0.05, 5 seeds")
    assert found["e"].lines == ("Fashion-MNIST, ResNet-8", "SGD, λ = 0.05, weight decay 0, 5 seeds")


def test_runs_that_are_alike_in_all_that_is_told_are_told_apart_by_their_windows_else_by_their_names():
    found = runs_in_order([variant("a"), variant("b", **{"burn_in.batch_size": 8}), variant("c", seeds=[9])])
    assert [run.lines[1] for run in found] == ["SGD, λ = 0.05, a, 6 seeds", "SGD, λ = 0.05, b, 5 seeds"]
    assert [run.links for run in found] == ["[a](a/README.md) · [c](c/README.md)", "[b](b/README.md)"]
    narrow = variant("d", **{"side_trips.windows": [4]})
    assert [run.lines[1] for run in runs_in_order([variant("a"), narrow])] == [
        "SGD, λ = 0.05, window 10, 5 seeds",
        "SGD, λ = 0.05, window 4, 5 seeds",
    ]
