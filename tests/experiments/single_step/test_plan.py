"""Which step sizes are tried, and which settings are measured where."""

from itertools import product

import numpy as np
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.experiments.single_step.plan import measured_settings, near_lowest


def test_other_settings_are_measured_at_the_run_s_batch_size_late_in_the_run():
    """Frozen statistics on every own batch, the momentum direction on one alone."""
    config = smoke_config()
    every = product((8, 16, 32), (0, 1), config.branch.steps)
    others = {here: found[1:] for here in every if len(found := measured_settings(*here, config)) > 1}
    frozen, momentum = ("gradient", "frozen"), ("momentum", "batch")
    assert others == {
        (16, 0, 20): [frozen],
        (16, 1, 20): [frozen],
        (16, 0, 30): [frozen, momentum],
        (16, 1, 30): [frozen],
    }


@given(st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_near_the_lowest_lies_between_its_neighbours(losses):
    sizes = [0.1 * i for i in range(len(losses))]
    at = int(np.argmin(losses))
    low, high = sizes[max(at - 1, 0)], sizes[min(at + 1, len(sizes) - 1)]
    found = near_lowest(sizes, losses)
    assert all(low < x < high for x in found)
    assert not set(found) & set(sizes)
