"""Verdicts on the analytic model, on tables whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
from verdict_tables import config

from sidetrip.verdicts.quadratic import _two_scales, decay_rates, ema_lag, monte_carlo, radius_slopes
from sidetrip.verdicts.statistics import NotMeasured


def two_scales(ema_decay=1.0, ema_floor=0.001) -> pd.DataFrame:
    """Slow losses that fall exponentially to floors; relative to the large rate's decay of 0.005 a step."""
    rows = []
    runs = (("large_rate", 1.0, 0.01), ("small_rate", 0.4, 0.005), ("ema", ema_decay, ema_floor))
    for group in range(6):
        wobble = 1 + 0.002 * (-1) ** group
        for step in range(0, 4001, 20):
            for run, speed, floor in runs:
                rows.append((step, run, "slow", group, 3 * math.exp(-0.005 * speed * step) * wobble + floor * wobble))
                rows.append((step, run, "fast", group, floor * wobble))
    return pd.DataFrame(rows, columns=["step", "run", "coordinate", "group", "loss"])


SETTINGS = {"quadratic.ema_steps": 50}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "reproduced"), ({"ema_decay": 0.7}, "not reproduced"), ({"ema_floor": 0.02}, "not reproduced")],
)
def test_two_scales(changes, expected):
    found = _two_scales(two_scales(**changes), config(**SETTINGS))
    assert (found.verdict, found.unit) == (expected, "simulation groups")


def test_decay_rates_are_those_of_the_exponentials():
    found = decay_rates(two_scales(), 50)
    assert found["large_rate"].to_numpy() == pytest.approx(0.005, rel=0.02)
    assert (found["small_rate"] / found["large_rate"]).to_numpy() == pytest.approx(0.4, rel=0.05)


def test_an_ema_that_never_forgets_its_start_is_not_measured():
    assert isinstance(_two_scales(two_scales(), config(**{"quadratic.ema_steps": 1500})), NotMeasured)


def test_the_lag_is_that_of_an_ema_of_an_exponential():
    x, newest = 0.001, 0.01
    average, value = 1.0, 1.0
    for _ in range(5000):
        value *= math.exp(-x)
        average += newest * (value - average)
    assert math.log(average / value) / x == pytest.approx(ema_lag(x, newest), rel=0.02)
    assert ema_lag(0.02, 0.01) == math.inf


def test_intervals_that_hold_together_are_wider():
    values = np.random.default_rng(0).standard_normal(8)
    alone, together = monte_carlo(values, 0.95), monte_carlo(values, 0.95, together=4)
    assert together.low < alone.low < values.mean() < alone.high < together.high


def test_slope_of_an_exact_square_root():
    rates = [0.01, 0.02, 0.04]
    table = pd.DataFrame(
        [("identity", rate, group, (1 + group) * rate) for rate in rates for group in range(3)],
        columns=["model", "rate", "group", "mean_square_radius"],
    )
    assert radius_slopes(table)["slope"].to_numpy() == pytest.approx(0.5)
