"""Forecasts of a decay that begins now: what they may know, and that the command gives the same."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from verdict_tables import config, cool_downs, curvature_nodes, forecast_tables, merged_snapshots, run_loss

from sidetrip.experiments.forecast.forward import forecasts_at
from sidetrip.experiments.forecast.outcomes import outcomes
from sidetrip.experiments.forecast.sparse import sparse_kernel
from sidetrip.forecast import main
from sidetrip.kernels import DECAYS
from sidetrip.measure.second_order import Spectrum, predict

KEYS = ["decay", "window_steps", "metric", "correction"]


def at(begin, tables, seed=0, **settings):
    return forecasts_at(config(**settings), seed, begin, tables)


def measured(**changes):
    return {"merged_snapshots": merged_snapshots(), "cool_downs": cool_downs(**changes)}


def test_it_is_the_merged_loss_its_drift_and_what_earlier_cool_downs_ended_below():
    found = at(35, measured(gap=0.01, spread=0.0)).set_index(KEYS)
    plain, learned = (found.loc["linear", 5, "loss", kind] for kind in ("none", "learned"))
    assert plain["merged"] == pytest.approx(run_loss(35) - 0.1)
    assert plain["forecast"] == pytest.approx(run_loss(40) - 0.1)
    assert learned["forecast"] == pytest.approx(run_loss(40) - 0.11)
    assert (plain["cool_downs"], learned["cool_downs"]) == (0, 3)
    accuracy = found.loc["linear", 5, "accuracy", "learned"]
    assert accuracy["forecast"] == pytest.approx(1 - (run_loss(40) - 0.11) / 2)
    assert accuracy["low"] <= accuracy["forecast"] <= accuracy["high"]


@hypothesis_settings(max_examples=20)  # each draw changes every number
@given(st.integers(0, 2**32 - 1), st.sampled_from([20, 25, 30, 35]))
def test_no_forecast_can_see_its_answer(seed, begin):
    """Every number of a later step changed, and all of other runs: the forecast stays."""
    tables = {**measured(), "curvature_nodes": curvature_nodes()}
    random = np.random.default_rng(seed)

    looks, downs, nodes = tables.values()
    ends = (looks["step"], downs["branch"] + downs["window_steps"], nodes["branch"] + 10)
    others = {}
    for (name, table), end in zip(tables.items(), ends, strict=True):
        later, numbers = (table["seed"] != 0) | (end > begin), list(table.columns[-2:])
        others[name] = table.copy()
        others[name].loc[later, numbers] = random.normal(size=(int(later.sum()), 2))
    pd.testing.assert_frame_equal(at(begin, tables), at(begin, others))


def test_the_predicted_correction_is_the_model_s_share_of_what_merging_gains():
    # The widest averages behind the curvature, over 2 steps, end by step 30.
    settings = {"side_trips.windows": [1, 2], "side_trips.looks": 1, "branch.points": [28, 30]}
    tables = {**measured(), "curvature_nodes": curvature_nodes()}
    row = at(35, tables, **settings).query("decay == 'linear' and correction == 'predicted'").iloc[0]
    nodes = curvature_nodes().query("seed == 0 and branch <= 33")
    starts = len(nodes[["branch", "start"]].drop_duplicates())
    spectrum = Spectrum(nodes["curvature"].to_numpy(), nodes["power"].to_numpy() / starts)
    burn_in = config().burn_in
    kernel = sparse_kernel("linear", np.ones(5), 0, 5, 5)
    excess = predict(kernel, DECAYS["linear"](5), spectrum, burn_in.rate, burn_in.optimizer.momentum)
    assert row["added"] == pytest.approx(-excess.difference * 0.1)
    assert row["forecast"] == pytest.approx(run_loss(40) - 0.1 + row["added"])


def test_without_earlier_cool_downs_the_interval_allows_for_a_quarter_of_what_merging_gains():
    """The losses lie on a line, so nothing else has a width."""
    row = at(35, measured()).set_index(KEYS).loc["linear", 5, "loss", "none"]
    assert row["high"] - row["forecast"] == pytest.approx(0.25 * 0.1)


def test_the_command_gives_the_same(tmp_path, capsys):
    """From the stage's tables written as CSV files: each number of each forecast that it gives, and the law's."""
    tables = forecast_tables()
    given = outcomes(tables, config()).query("metric == 'loss' and given").set_index(["seed", "branch", "decay"])
    looks, downs = tables["merged_snapshots"], tables["cool_downs"]
    for seed, begin, decay in product((0, 3), (20, 35), DECAYS):
        here = looks[looks["seed"] == seed]
        momentary = here[here["model"] == "momentary"].set_index("step")["loss"].rename("momentary")
        merged = here[here["decay"] == decay].set_index("step")["loss"].rename("merged")
        pd.concat([momentary, merged], axis=1).reset_index().to_csv(tmp_path / "run.csv", index=False)
        ran = downs[(downs["seed"] == seed) & (downs["model"] == "cool-down")]
        earlier = ran.rename(columns={"branch": "start", "window_steps": "over", "decay": "shape"})
        earlier[["start", "over", "shape", "loss"]].to_csv(tmp_path / "earlier.csv", index=False)
        files = ["--losses", str(tmp_path / "run.csv"), "--cool-downs", str(tmp_path / "earlier.csv")]
        main([*files, "--over", "5", "--decay", decay, "--at", str(begin), "--json"])
        found = json.loads(capsys.readouterr().out)
        row = given.loc[(seed, begin, decay)]
        numbers = [found[name] for name in ("momentary", "merged", "drift", "correction", "loss")]
        numbers += [found["interval"]["low"], found["interval"]["high"]]
        assert numbers == row[["momentary", "merged", "drift", "added", "forecast", "low", "high"]].tolist()
        for number, column in (
            (found["power_law"], "power_law"),
            (found["steps_at_constant_rate"]["loss"], "steps_at_constant_rate"),
        ):
            assert number == row[column] or (number is None and np.isnan(row[column]))


def test_too_few_losses_are_no_forecast():
    assert at(20, measured(), **{"forecast.begins": [5, 20], "forecast.every": 5}).shape[0]
    few = {**measured(), "merged_snapshots": merged_snapshots().query("step >= 15")}
    assert at(20, few).empty
