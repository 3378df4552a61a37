"""The statements: all of them, in the order of the paper's table, in plain words."""

import string
from dataclasses import asdict, fields

import pytest
from report_tables import quadratic as tables
from verdict_tables import config

from sidetrip.experiments import claims
from sidetrip.experiments.claims import statements
from sidetrip.experiments.quadratic import verdict as quadratic
from sidetrip.verdicts.statements import Statement
from sidetrip.verdicts.wording import OURS

THRESHOLDS = asdict(config().claims).keys() - {"confidence", "level", "power"}


def used(statement: Statement) -> set[str]:
    """Names of thresholds in a criterion."""
    return {name for _, name, _, _ in string.Formatter().parse(statement.criterion) if name}


@pytest.mark.parametrize("added", [(), ("late_swa",)])
def test_each_is_stated_once_and_ours_come_last(monkeypatch, added):
    """Those of a method that is not the paper's too."""
    monkeypatch.setattr(claims, "NAMES", (*claims.NAMES, *added))
    assert len({statement.id for statement in statements()}) == len(statements())
    ours = [statement.source == OURS for statement in statements()]
    assert ours == sorted(ours)


def test_a_statement_is_whole():
    for statement in statements():
        assert all(getattr(statement, field.name) for field in fields(statement) if field.type == "str"), statement.id
        for sentence in (statement.if_true, statement.if_false, statement.if_within or statement.if_true):
            assert sentence[0].isupper(), statement.id
            assert sentence.endswith("."), statement.id


def test_every_threshold_is_in_one_criterion_or_in_those_of_several_kinds():
    named = [name for statement in statements() for name in used(statement) if name in THRESHOLDS]
    assert set(named) == THRESHOLDS
    several = {name for name in named if named.count(name) > 1}
    assert several == {"average_is_schedule", "identity_error", "forecast_coverage"}


def test_what_the_judge_of_the_quadratic_model_judges_is_analytic():
    """And belongs to no variant."""
    judged = quadratic.judge(tables(), config())
    assert {statement.id for statement in statements() if statement.analytic} == judged.keys()
