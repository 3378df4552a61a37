"""Verdicts on trips on one fixed batch, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from verdict_tables import SEEDS, batch_losses, config, fixed_batch, refuted, verdicts

from sidetrip.experiments.fixed_batch import verdict as judge_of
from sidetrip.verdicts.records import NotMeasured


def judged(table):
    return judge_of.judge({"fixed_batch": table, "batch_losses": batch_losses()}, config())


def test_as_the_paper_has_it():
    found = judged(fixed_batch())
    assert verdicts(found) == dict.fromkeys(judge_of.NAMES, "reproduced")
    assert {row.n for row in found.values()} == {len(SEEDS)}
    assert found["fixed_batch_floor"].interval.value == pytest.approx(0.02, rel=0.02)
    assert found["fixed_batch_held_out"].interval.value == pytest.approx(3.0, rel=0.02)


def test_each_end_refutes_its_own_row():
    assert refuted(judged(fixed_batch(own_end=0.5))) == {"fixed_batch_floor"}
    assert refuted(judged(fixed_batch(held_out_end=0.5))) == {"fixed_batch_held_out"}


@pytest.mark.parametrize(("batch", "title"), [("own", "the fixed batch"), ("held_out", "a held-out batch")])
def test_a_ridge_for_one_kind_of_batch_is_enough(batch, title):
    table = fixed_batch()
    here = (table["batch"] == batch) & (table["pair"] == "run")
    table.loc[here & (table["steps"] == 3) & (table["alpha"] == 0.5), "loss"] += 0.5
    found = judged(table)
    assert (refuted(found), found["fixed_batch_basin"].part) == ({"fixed_batch_basin"}, title)


def test_the_control_decides_where_no_ridge_shows_and_enters_no_other_row():
    """Without a ridge there, the criterion could not fail."""
    usual, flat = judged(fixed_batch()), judged(fixed_batch(ridge=0.0))
    assert refuted(flat) == {"fixed_batch_basin"}
    assert flat["fixed_batch_basin"].part.startswith("the control, ")
    table = fixed_batch()
    control = table["pair"] == "initialisations"
    moved = judged(table.assign(loss=table["loss"] * np.where(control & (table["steps"] == 0), 0.5, 1.0)))
    for name in ("fixed_batch_floor", "fixed_batch_held_out"):
        assert moved[name] == usual[name]
    alone = judged(table[~control])["fixed_batch_basin"]
    assert (alone.verdict, alone.detail[:6]) == ("reproduced", "2 of 2")


def test_several_fixed_batches_are_one_value_of_their_seed():
    table = fixed_batch()
    table.loc[(table["fixed_batch"] == 1) & (table["steps"] == 3) & (table["batch"] == "held_out"), "loss"] += 2.0
    row = judged(table)["fixed_batch_held_out"]
    assert (row.interval.value, row.n) == (pytest.approx((3 + 5) / 2, rel=0.02), len(SEEDS))


def test_a_rise_is_over_the_worse_end_and_that_over_the_straight_line_stands_beside():
    table = fixed_batch(hill=0.3)
    table["loss"] += np.where(table["steps"] == 3, table["alpha"], 0.0)  # the later run ends higher by 1
    found = judge_of.lines(table).query("batch == 'own' and pair == 'run'").iloc[0]
    assert found["rise"] == pytest.approx(0.0, abs=1e-9)  # 0.8 in the middle, 1 at the worse end
    assert found["rise_over_line"] == pytest.approx(0.3, abs=1e-9)
    row = judged(table)["fixed_batch_basin"]
    assert row.verdict == "reproduced"


def test_the_floor_is_taken_after_three_steps_and_the_held_out_loss_at_the_end():
    table = fixed_batch()
    more = table[table["steps"] == 3].assign(steps=4)
    more["loss"] = np.where(more["batch"] == "own", 0.9, 0.5)
    found = judged(pd.concat([table, more]))
    assert found["fixed_batch_floor"].interval.value == pytest.approx(0.02, rel=0.02)
    assert found["fixed_batch_held_out"].interval.value == pytest.approx(0.5)


def test_a_run_that_diverges_holds_nothing():
    """One, all, or there was none: not the same."""
    table = fixed_batch()
    table.loc[(table["seed"] == 2) & (table["steps"] == 3), "loss"] = np.nan
    found = judged(table).values()
    expected = ("not reproduced", "a run on the fixed batch diverged", len(SEEDS) - 1)
    assert {(row.verdict, row.detail, row.n) for row in found} == {expected}
    lost = judged(table.assign(loss=np.nan))
    assert {row.reason for row in lost.values()} == {"every run on the fixed batch diverged"}
    none = judged(table.query("branch > 100"))
    assert all(isinstance(row, NotMeasured) and "branch.points" in row.reason for row in none.values())
