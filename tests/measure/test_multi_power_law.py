"""The multi-power law: its sum written out step by step, and that a fit finds a law again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.kernels import Schedule
from sidetrip.measure import multi_power_law
from sidetrip.measure.multi_power_law import fit, losses, schedules_of, slopes

NUMBERS = np.array([0.6, 0.5, 0.4, -1.0, -4.0, 0.6, 0.4])


def slow_loss(numbers, rates):
    """The law as it is printed, one term at a time."""
    level, log_a, alpha, log_b, log_c, beta, gamma = numbers
    loss = level + np.exp(log_a) * sum(rates) ** -alpha
    for k in range(1, len(rates)):
        fall, later = rates[k - 1] - rates[k], sum(rates[k:])
        if fall > 0 and rates[k] > 0:
            loss -= np.exp(log_b) * fall * (1 - (1 + np.exp(log_c) * rates[k] ** -gamma * later) ** -beta)
    return loss


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_it_is_the_sum_that_is_printed(seed, steps):
    random = np.random.default_rng(seed)
    rates = np.sort(random.uniform(0.01, 1.0, steps))[::-1].copy()
    rates[: steps // 3] = rates[: steps // 3][::-1]  # a rise before the falls
    rates[-1] = random.choice([0.0, rates[-1]])
    found = losses(NUMBERS, schedules_of([np.ones(steps), rates]))
    assert found[0] == pytest.approx(NUMBERS[0] + np.exp(NUMBERS[1]) * steps ** -NUMBERS[2], rel=1e-12)
    assert found[1] == pytest.approx(slow_loss(NUMBERS, rates), rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_its_slopes_are_those_of_small_steps(seed, steps):
    random = np.random.default_rng(seed)
    found = schedules_of([np.ones(steps), np.sort(random.uniform(0.01, 1.0, steps))[::-1]])
    numbers = NUMBERS + random.uniform(-0.3, 0.3, len(NUMBERS))
    for number, slope in enumerate(slopes(numbers, found).T):
        step = np.zeros(len(NUMBERS))
        step[number] = 1e-5
        by_steps = (losses(numbers + step, found) - losses(numbers - step, found)) / 2e-5
        assert slope == pytest.approx(by_steps, rel=1e-6, abs=1e-8)


def test_a_fit_tells_what_a_further_decay_gives(monkeypatch):
    """From losses of a run and of decays that began earlier, without noise."""
    monkeypatch.setattr(multi_power_law, "EVALUATIONS", 200)
    ways = [np.ones(n) for n in range(100, 1001, 50)]
    ways += [np.r_[np.ones(n), Schedule.linear(k).multipliers] for n in (400, 600, 800) for k in (100, 200)]
    seen = schedules_of(ways)
    law = fit(seen, losses(NUMBERS, seen))
    new = schedules_of([np.r_[np.ones(1000), Schedule.linear(150).multipliers], np.ones(1150)])
    (decayed, constant), (truly, _) = losses(law, new), losses(NUMBERS, new)
    assert decayed == pytest.approx(truly, abs=3e-3)
    assert constant - decayed > 0.03  # what the decay gains
