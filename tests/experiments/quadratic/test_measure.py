"""The analytic model from end to end, at the size of the smoke variant."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import smoke_config

from sidetrip.engine.lab import Lab
from sidetrip.experiments.quadratic.measure import measure
from sidetrip.experiments.quadratic.plan import parts


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """It needs no pictures: the folder is empty."""
    return Lab(smoke_config(), tmp_path_factory.mktemp("empty"), torch.device("cpu"))


@pytest.fixture(scope="module")
def tables(lab):
    return {name: table for part in parts(lab.config) for name, table in measure(lab, part).items()}


def test_a_part_is_the_same_at_every_time_and_in_any_order(lab, tables):
    for part in ("two_scales", "midpoints", "lemma_2"):
        for name, table in measure(lab, part).items():
            pd.testing.assert_frame_equal(table, tables[name])


def test_lemma_2_holds_and_wrong_kernels_fail(tables):
    table = tables["lemma_2"]
    assert table["smallest_weight"].min() < 0
    assert set(table["momentum"]) == {0.0, 0.9}
    assert table["largest_difference"].max() < 1e-12
    assert (table[["reversed_difference", "shuffled_difference"]] > 1e-6).all(axis=None)


def test_two_scales_starts_where_the_settings_say(tables):
    settings, table = smoke_config().quadratic, tables["two_scales"]
    start = table[table["step"] == 0]
    for coordinate, curvature in (("fast", settings.fast), ("slow", settings.slow)):
        expected = 0.5 * curvature * settings.start**2
        assert start[start["coordinate"] == coordinate]["loss"].to_numpy() == pytest.approx(expected)
    assert np.array_equal(table["step"].unique(), np.arange(0, settings.steps + 1, settings.every))
