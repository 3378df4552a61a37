"""How far an average lags behind: the age of its iterates, and how fast the loss of averages falls."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from verdict_tables import config

from sidetrip.experiments.methods import METHODS
from sidetrip.index.lag import ages, fall_of_a_step, lags


def points(fall: float, branches=(20, 30, 40)) -> pd.DataFrame:
    """Of two seeds, whose averages begin at different losses; other methods and windows fall otherwise."""
    rows = [
        (seed, branch, late, kernel, widest, split, 1.0 + seed - (fall if used else 9.0) * branch)
        for seed in (0, 1)
        for branch in (*branches, 7)
        for late in (branch != 7,)
        for kernel in ("swa", "ema")
        for widest in (True, False)
        for split in ("train", "validation")
        for used in ((kernel, widest, split, late) == ("swa", True, "validation", True),)
    ]
    names = ["seed", "branch", "late", "kernel", "widest", "split", "average"]
    return pd.DataFrame(rows, columns=names).assign(metric="loss", average_minus_trip=0.0)


def test_an_average_is_as_old_as_its_iterates_in_the_mean():
    for method in METHODS:
        kernel = method.widest(config().side_trips)
        before_the_end = np.arange(kernel.steps, -1, -1)
        assert ages(config().side_trips)[method.name] == pytest.approx(kernel.weights @ before_the_end)


def test_the_loss_falls_as_that_of_the_widest_swa_averages_late_in_the_run():
    assert fall_of_a_step(points(0.003)) == pytest.approx(0.003)
    assert fall_of_a_step(points(-0.003, (20, 33))) == pytest.approx(-0.003)
    assert math.isnan(fall_of_a_step(points(0.003, (20,))))


def test_a_lag_is_an_age_times_that_fall_and_there_is_none_where_the_rate_falls():
    settings = config()
    found = lags(points(0.003), settings)
    assert found["two_point"] == pytest.approx(0.003 * settings.side_trips.two_point_windows[-1] / 2)
    assert found.keys() == {method.name for method in METHODS}
    assert lags(points(0.003), replace(settings, burn_in=replace(settings.burn_in, schedule="cosine"))) == {}
