"""Which step sizes are tried, and which settings are measured where."""

import numpy as np
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.experiments.single_step.plan import measured_settings, near_lowest


def test_other_settings_are_measured_at_the_last_branch_point_alone():
    config = smoke_config()
    every = [(size, own, step) for size in (8, 16, 32) for own in (0, 1) for step in config.branch.steps]
    assert [here for here in every if len(measured_settings(*here, config)) > 1] == [(16, 0, config.branch.points[-1])]


@given(st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_near_the_lowest_lies_between_its_neighbours(losses):
    sizes = [0.1 * i for i in range(len(losses))]
    at = int(np.argmin(losses))
    low, high = sizes[max(at - 1, 0)], sizes[min(at + 1, len(sizes) - 1)]
    found = near_lowest(sizes, losses)
    assert all(low < x < high for x in found)
    assert not set(found) & set(sizes)
