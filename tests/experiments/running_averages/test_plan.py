"""Stretches: where windows begin, and that they share their steps."""

import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.experiments.running_averages.plan import stretch_steps, stretches
from sidetrip.experiments.side_trips.plan import longest


@pytest.mark.parametrize("every", [1, 3, 10, 25, 30, 40])
def test_windows_begin_every_so_often_and_end_within_the_run(every):
    config = smoke_config(**{"side_trips.every": every})
    starts = [start for stretch in stretches(config) for start in stretch.starts]
    assert starts == list(range(0, 31, every))
    assert starts[-1] + longest(config) <= config.burn_in.steps
    assert {stretch.seed for stretch in stretches(config)} == {config.seeds[0]}


@given(st.integers(1, 39), st.integers(1, 40), st.integers(0, 100))
def test_no_step_is_taken_twice_and_no_pass_is_longer_than_it_needs_to_be(snapshots, every, steps):
    changes = {"burn_in.snapshot_every": snapshots, "side_trips.every": every, "burn_in.steps": 40 + steps}
    changes |= {"experiments.forecast": False}
    config = smoke_config(**changes)
    taken: list[int] = []
    for stretch in stretches(config):
        first = stretch.starts[0]
        taken += range(first - first % snapshots, first + stretch_steps(config, stretch))
    assert len(taken) == len(set(taken))
    starts = (start for stretch in stretches(config) for start in stretch.starts)
    assert set(taken) == {s for start in starts for s in range(start - start % snapshots, start + longest(config))}
