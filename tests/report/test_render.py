"""The page of a variant: figures, verdicts and tables, from tables known by hand."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides
from matplotlib.figure import Figure
from report_tables import all_tables
from sidetrip.figures import MODULES, figures
from sidetrip.report.series import series
from verdict_tables import config, cool_downs, side_trips

from sidetrip.experiments.methods import METHODS
from sidetrip.experiments.registry import in_order, name_of
from sidetrip.kernels import Kernel
from sidetrip.report import render
from sidetrip.verdicts import rows, statements
from sidetrip.verdicts import side_trips as judge

OPTIONAL = list(vars(config().experiments))
FACTS = SimpleNamespace(train_samples=600, validation_samples=200)
ORIGIN = render.Origin("code", "settings", [({"torch": "1", "arithmetic": "portable"}, ["burn_in"])])


def page(tables=None, **changes) -> str:
    settings = config(**changes)
    tables = tables or all_tables(settings)
    return render.render(settings, FACTS, tables, rows.measure(tables, settings), ORIGIN)


def table_rows(text: str, first: str) -> list[list[str]]:
    """Cells of the rows of all tables whose first cell begins like this."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first}")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_figures_that_are_linked_are_those_that_are_made():
    tables = all_tables()
    made = drawn(figures(tables, config()))
    assert set(re.findall(r"figures/(\w+)\.png", page(tables))) == made


def test_every_experiment_with_verdicts_has_figures_and_a_section():
    judges = [name_of(judge) for judge in rows.JUDGES]
    assert judges == [name_of(module) for module in MODULES]
    assert judges == in_order(path.name.removesuffix(".md.j2") for path in render.SECTIONS.iterdir())


def test_every_statement_stands_once_in_a_section_and_once_in_the_summary():
    text = page()
    for statement in rows.statements():
        assert text.count(f"| `{statement.id}`: ") + text.count(f"- `{statement.id}`: not measured") == 1
        listed = text.split("## What one step does")[0].count(f"`{statement.id}`")
        assert listed == (statement.source != statements.OURS)


def test_the_regime_stands_beside_every_verdict():
    text = page()
    (swa,) = table_rows(text, "`average_is_schedule_swa`")
    assert swa[4].startswith("λ/B 3.1e-03<br>window 50 %<br>fall ÷ gain")
    assert table_rows(text, "`stationary_radius`")[0][4] == "quadratic model"


def test_n_has_its_unit():
    text = page()
    assert table_rows(text, "`single_step_floor`")[0][3] == "5 seeds"
    assert table_rows(text, "`stationary_radius`")[0][3] == "4 simulation groups"
    assert table_rows(text, "`averaging_equals_schedule`")[0][3] == "closed form"


def test_scores_of_the_averages():
    tables = all_tables(side_trips=side_trips(gap=0.02, gain=0.1, spread=0.0))
    loss, training, accuracy, _ = table_rows(page(tables), "SWA, 10 steps")
    assert loss[1:6] == ["validation loss", "1.0000", "0.9000", "0.8800", "+0.1000"]
    assert loss[6].startswith("+0.0200")
    assert loss[7].startswith("0.20")
    assert training[1] == "training loss"
    assert accuracy[1:6] == ["validation accuracy", "50.00", "55.00", "56.00", "+5.00"]


def test_the_share_of_the_gain_is_positive_where_the_average_is_behind():
    """In losses and accuracies alike, and as in the verdicts."""
    text = page(all_tables(side_trips=side_trips(gap=0.05, gain=0.1, spread=0.0)))
    scores = table_rows(text, "SWA, 10 steps")
    assert len(scores) == 4
    assert all(row[-1].startswith("0.50<br>") for row in scores)
    (verdict,) = table_rows(text, "`average_is_schedule_swa`")
    assert "÷ gain: 0.5," in verdict[2]


def test_commands_that_are_printed_are_taken(tmp_path):
    """Whether the variant sets the key itself or not."""
    printed = re.findall(r"dvc exp run -S '([^']+)'", page())
    assert len(printed) == len(MODULES)
    for override in printed:
        shutil.copy("params.yaml", tmp_path)
        apply_overrides(tmp_path / "params.yaml", [override])


def test_a_ratio_to_a_gain_of_about_0_is_unbounded():
    tables = all_tables(side_trips=side_trips(gap=0.01, gain=0.0, spread=0.05))
    assert table_rows(page(tables), "SWA, 10 steps")[0][7] == "unbounded"


def test_every_seed_and_branch_point_is_behind_the_averaging_rows():
    found = table_rows(page().split("<details>")[-1], "SWA ")
    assert [(row[1], row[2]) for row in found[:3]] == [("0", "10 (early)"), ("0", "20"), ("0", "30")]
    assert len(found) == 5 * 3


def test_controls_show_loss_and_distance():
    true, wrong, shuffled = table_rows(page().split("What ought to fail")[1], "EMA")
    assert (true[0], true[4]) == ("EMA, true kernel", "1")
    assert wrong[0] == "EMA, reversed"
    assert wrong[4].startswith("3")
    assert float(wrong[3]) == pytest.approx(3 * float(true[3]))
    assert shuffled[0] == "EMA, shuffled"


def test_a_method_that_is_added_is_reported(monkeypatch):
    named = {"name": "late_swa", "title": "Late SWA", "phrase": "late SWA", "source": statements.OURS}
    added = replace(METHODS[0], **named, kernels=lambda _: [Kernel.swa(10)])
    for module in (render, judge, statements):
        monkeypatch.setattr(module, "METHODS", (*METHODS, added))
    scores = side_trips()
    scores = pd.concat([scores, scores[scores["kernel"] == "swa"].assign(kernel="late_swa")])
    text = page(all_tables(side_trips=scores))
    assert len(table_rows(text, "Late SWA, 10 steps")) == 4
    assert len(table_rows(text, "`average_is_schedule_late_swa`")) == 1
    listed = text.split("## What one step does")[0]
    assert "`average_is_schedule_swa`" in listed
    assert "late_swa" not in listed  # it is not the paper's


@pytest.mark.parametrize("left_out", [*([name] for name in OPTIONAL), OPTIONAL], ids=" ".join)
def test_an_experiment_that_is_left_out_has_no_figures_and_no_section(left_out):
    """And nothing else needs its tables."""
    changes = {f"experiments.{name}": False for name in left_out}
    settings = config(**changes)
    tables = all_tables(settings)
    text = page(tables, **changes)
    assert len(re.findall("^## (?!Verdicts|Settings|Provenance)", text, re.MULTILINE)) == len(MODULES) - len(left_out)
    made = drawn(figures(tables, settings))
    assert set(re.findall(r"figures/(\w+)\.png", text)) == made
    assert made == {name for module, names in made_by_modules().items() if module not in left_out for name in names}
    assert f"This variant leaves out {', '.join(f'`{name}`' for name in in_order(left_out))}: " in text
    assert series(tables, settings).keys() == series(all_tables(), config()).keys()


@cache
def made_by_modules() -> dict[str, set[str]]:
    """Names of the figures that each module draws where nothing is left out."""
    return {name_of(module): drawn(module.draw(all_tables(), config()).items()) for module in MODULES}


def drawn(made: Iterable[tuple[str, Figure]]) -> set[str]:
    """Names of figures, which are closed."""
    names = {name for name, _ in made}
    plt.close("all")
    return names


def test_words_are_defined_before_they_are_used():
    text = page()
    start = text.index("## Verdicts")
    for word in ("branch point", "side trip", "late", "early", "momentary", "kernel", "held-out", "gain", "fall"):
        assert text.index(f"*{word}") < start


def test_where_the_arithmetic_was_done_is_on_the_page():
    assert "arithmetic portable" in page()


def test_forecasts_stand_beside_their_rivals():
    text = page(all_tables(cool_downs=cool_downs(gap=0.01, gain=0.1, spread=0.0)))
    section = text.split("## What would decaying the rate now give?")[1]
    (every, fifth, ends) = table_rows(section, "cosine | 15 steps")[:3]
    assert every == ["cosine", "15 steps", "1", "0.1100 (+0.1100)", "0.0100 (+0.0100)", "0.0000 (+0.0000)", "10 of 10"]
    assert (fifth[2], ends[2]) == ("5", "15")
    assert len(table_rows(section.split("**Now**")[1], "linear")) == 1


def test_statements_of_this_project_are_not_counted_among_those_of_the_paper():
    text = page()
    assert " of 26 | " in text
    summary = text.split("## What one step does")[0]
    assert "forecast_covers" not in summary
    assert "| statement | criterion |" in text.split("## What would decaying the rate now give?")[1]
