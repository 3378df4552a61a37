"""The page of a variant: figures, verdicts and tables, from tables known by hand."""

import re
import shutil
from functools import cache
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides
from report_tables import all_tables
from verdict_tables import config, fixed_batch, forecast_tables, side_trips

from sidetrip.config import Config, load_params, resolve
from sidetrip.experiments import claims, methods
from sidetrip.experiments.registry import Experiment, shown
from sidetrip.experiments.sections import sections
from sidetrip.experiments.series import series
from sidetrip.experiments.side_trips import section as side_trips_section
from sidetrip.experiments.side_trips import verdict
from sidetrip.kernels import Kernel
from sidetrip.report.render import render
from sidetrip.verdicts.wording import OURS

NEEDS = {"replica_noise_predicted": "curvature"}  # row: an experiment that it needs beside its own
SERIES = {"main_trajectory", "one_step", "averages_and_trips"}  # which dvc.yaml names
OPTIONAL = list(vars(config().experiments))
FACTS = SimpleNamespace(train_samples=600, validation_samples=200, kind="pictures")
SOFTWARE = [({"torch": "1", "arithmetic": "portable"}, ["burn_in"])]


@cache
def usual_rows() -> list[dict]:
    return claims.measure(all_tables(), config())


@cache
def usual_page() -> str:
    return rendered(all_tables(), config(), usual_rows())


def with_alone(*experiments: str) -> Config:
    """Settings with averages and trips, and of other experiments these alone."""
    return config(**{f"experiments.{name}": False for name in OPTIONAL if name not in experiments})


def page_with(*experiments: str, **changes: pd.DataFrame) -> str:
    """The page where these alone are measured beside averages and trips, from tables some of which are changed."""
    settings = with_alone(*experiments)
    tables = all_tables(settings, **changes)
    return rendered(tables, settings, claims.measure(tables, settings))


def rendered(tables: dict[str, pd.DataFrame], settings: Config, rows: list[dict]) -> str:
    return render(settings, FACTS, rows, claims.statements(), sections(tables, settings), SOFTWARE)


def table_rows(text: str, first: str) -> list[list[str]]:
    """Cells of the rows of all tables whose first cell begins like this."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first}")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_statement_stands_once_in_a_section_and_once_in_the_summary():
    text = usual_page()
    for statement in claims.statements():
        assert text.count(f"| `{statement.id}`: ") + text.count(f"- `{statement.id}`: not measured") == 1
        listed = text.split("## What one step does")[0].count(f"`{statement.id}`")
        assert listed == (statement.source != OURS and not statement.analytic)


def test_regime_and_the_unit_of_n_stand_beside_every_verdict():
    text = usual_page()
    (swa,) = table_rows(text, "`average_is_schedule_swa`")
    assert swa[4].startswith("λ/B 3.1e-03<br>window 50 %<br>fall ÷ gain")
    assert table_rows(text, "`stationary_radius`")[0][4] == "quadratic model"
    units = {"single_step_floor": "5 seeds", "stationary_radius": "4 simulation groups"}
    for name, unit in (units | {"averaging_equals_schedule": "closed form"}).items():
        assert table_rows(text, f"`{name}`")[0][3] == unit


def test_a_step_size_is_no_ratio_of_one_that_is_zero():
    settings = with_alone("single_step")
    tables = all_tables(settings)
    tables["best_steps"].loc[tables["best_steps"]["batch"] == "own", "best_step_size"] = 0.0
    text = rendered(tables, settings, claims.measure(tables, settings))
    assert " nats, at – of the step size." in text


def test_scores_of_the_averages():
    """The share of the gain is positive where the average is behind, in losses and accuracies, as in the verdicts."""
    text = page_with(side_trips=side_trips(gap=0.02, gain=0.1, spread=0.0))
    loss, training, accuracy, last = table_rows(text, "SWA, 10 steps")
    assert loss[1:6] == ["validation loss", "1.0000", "0.9000", "0.8800", "+0.1000"]
    assert loss[6].startswith("+0.0200")
    assert training[1] == "training loss"
    assert accuracy[1:6] == ["validation accuracy", "50.00", "55.00", "56.00", "+5.00"]
    assert all(row[7].startswith("0.20<br>") for row in (loss, training, accuracy, last))
    (verdict,) = table_rows(text, "`average_is_schedule_swa`")
    assert "÷ gain: 0.2," in verdict[2]


@pytest.mark.parametrize("begins", [[20, 25, 30, 35], [20, 25]])
def test_commands_that_are_printed_are_taken(tmp_path, begins):
    """Whether the variant sets the key itself or not; and its settings stay such as can be run."""
    settings = config(**{"forecast.begins": begins})
    tables = all_tables()
    printed = re.findall(r"dvc exp run -S '([^']+)'", rendered(tables, settings, usual_rows()))
    assert len(printed) == len(list(shown()))
    for change in printed:
        shutil.copy("params.yaml", tmp_path)
        apply_overrides(tmp_path / "params.yaml", [f"++variants.smoke.forecast.begins={begins}", change])
        assert resolve(load_params(tmp_path / "params.yaml"), "smoke")


def test_a_page_of_runs_on_a_fixed_batch_that_all_diverged():
    steps = fixed_batch()
    diverged = page_with("fixed_batch", fixed_batch=steps.assign(loss=steps["loss"].where(steps["steps"] == 0)))
    assert "`fixed_batch_basin`: not measured: every run on the fixed batch diverged" in diverged


def test_a_ratio_to_a_gain_of_about_0_is_unbounded():
    text = page_with(side_trips=side_trips(gap=0.01, gain=0.0, spread=0.05))
    assert table_rows(text, "SWA, 10 steps")[0][7] == "unbounded"


def test_every_seed_and_branch_point_is_behind_the_averaging_rows():
    found = table_rows(usual_page().split("<details>")[-1].split("\n## ")[0], "SWA ")
    assert [(row[1], row[2]) for row in found[:3]] == [("0", "10 (early)"), ("0", "20"), ("0", "30")]
    assert len(found) == 5 * 3


def test_controls_show_loss_and_distance():
    true, wrong, shuffled = table_rows(usual_page().split("What ought to fail")[1].split("\n## ")[0], "EMA")
    assert (true[0], true[4]) == ("EMA, true kernel", "1")
    assert wrong[0] == "EMA, reversed"
    assert wrong[4].startswith("3")
    assert float(wrong[3]) == pytest.approx(3 * float(true[3]))
    assert shuffled[0] == "EMA, shuffled"


def test_a_method_that_is_added_is_reported(monkeypatch):
    """Without words of its own, by its name, and not as the paper's."""
    added = methods.Method("late_swa", lambda settings: [Kernel.swa(10)])
    monkeypatch.setattr(side_trips_section, "METHODS", (*methods.METHODS, added))
    for module in (claims, verdict, side_trips_section):
        monkeypatch.setattr(module, "NAMES", (*methods.NAMES, added.name))
    scores = side_trips()
    scores = pd.concat([scores, scores[scores["kernel"] == "swa"].assign(kernel="late_swa")])
    text = page_with(side_trips=scores)
    assert len(table_rows(text, "Late swa, 10 steps")) == 4
    assert len(table_rows(text, "`average_is_schedule_late_swa`")) == 1
    listed = text.split("## Verdicts")[1].split("\n## ")[0]
    assert "`average_is_schedule_swa`" in listed
    assert "late_swa" not in listed


@cache
def judged_by(experiment: Experiment) -> set[str]:
    """The statements that an experiment judges."""
    return set(experiment.part("verdict").judge(all_tables(), config()))


@pytest.mark.parametrize("there", [OPTIONAL, [], *([name] for name in OPTIONAL)], ids=" ".join)
def test_an_experiment_needs_no_other_and_one_left_out_has_no_figures_no_section_and_no_verdicts(there):
    """Figures that are linked are those that are made."""
    settings = with_alone(*there)
    tables, left_out = all_tables(settings), [name for name in OPTIONAL if name not in there]
    rows = claims.measure(tables, settings)
    text = rendered(tables, settings, rows)
    own = {name for each in shown() if each.name in left_out for name in judged_by(each)}
    usual = {row["id"]: row for row in usual_rows()}
    for row in rows:
        if row["id"] in own:
            assert (row["verdict"], row["reason"]) == ("not measured", claims.LEFT_OUT)
        elif NEEDS.get(row["id"]) in left_out:
            assert (row["verdict"], NEEDS[row["id"]] in row["reason"]) == ("not measured", True)
        else:
            assert row == usual[row["id"]]
    expected = {each.id for each in claims.statements() if not (each.analytic and "quadratic" in left_out)}
    assert {row["id"] for row in rows} == expected
    sections_there = re.findall("^## (?!Verdicts|Settings|Provenance)", text, re.MULTILINE)
    assert len(sections_there) == len(list(shown(settings)))
    drawn = (figures(each, settings, tables) for each in shown(settings) if each.name in there or there == OPTIONAL)
    assert set(re.findall(r"figures/(\w+)\.png", text)) == figures_of_trips().union(*drawn)
    assert all(f"`{name}`" in text.partition("This variant leaves out ")[2].splitlines()[0] for name in left_out)
    assert series(tables, settings).keys() == SERIES


@cache
def figures_of_trips() -> set[str]:
    """Names of those that every variant has."""
    (trips,) = shown(with_alone())
    return figures(trips, with_alone(), all_tables(with_alone()))


def figures(experiment: Experiment, settings: Config, tables: dict[str, pd.DataFrame]) -> set[str]:
    """Names of the figures of an experiment, which are closed."""
    names = set(experiment.part("figure").draw(tables, settings))
    plt.close("all")
    return names


def test_forecasts_stand_beside_their_rivals():
    text = page_with("forecast", **forecast_tables(gap=0.01, gain=0.1, spread=0.0))
    section = text.split("## If the rate begins to decay now")[1]
    plain, learned = table_rows(section, "cosine | 5 steps")[:2]
    assert plain[:5] == ["cosine", "5 steps", "5", "none", "0.0100 (+0.0100)"]
    assert learned[:5] == ["cosine", "5 steps", "5", "learned", "0.0000 (+0.0000)"]
    assert learned[-1].startswith("5 of 5, ")
    past = section.split("### Had the decay begun a window ago")[1]
    every, ends = table_rows(past, "cosine | 5 steps")[:2]
    assert every == ["cosine", "5 steps", "1", "0.1100 (+0.1100)", "0.0100 (+0.0100)", "0.0000 (+0.0000)", "15 of 15"]
    assert ends[2] == "5"
    assert len(table_rows(past.split("**Now**")[1], "linear")) == 1
    assert "| statement | criterion |" in section  # not "of the paper"
