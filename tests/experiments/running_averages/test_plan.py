"""Stretches: where windows begin, and that they share their steps."""

from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.experiments.running_averages.plan import stretch_steps, stretches
from sidetrip.experiments.side_trips.plan import longest


@given(st.integers(1, 39), st.integers(1, 40), st.integers(0, 100))
def test_windows_begin_every_so_often_no_step_is_taken_twice_and_none_is_needless(snapshots, every, steps):
    """All of them end within the run of the first seed."""
    changes = {"burn_in.snapshot_every": snapshots, "side_trips.every": every, "burn_in.steps": 40 + steps}
    changes |= {"experiments.forecast": False}
    config = smoke_config(**changes)
    taken: list[int] = []
    for stretch in stretches(config):
        first = stretch.starts[0]
        taken += range(first - first % snapshots, first + stretch_steps(config, stretch))
    assert len(taken) == len(set(taken))
    starts = [start for stretch in stretches(config) for start in stretch.starts]
    assert starts == list(range(0, 40 + steps - 10 + 1, every))
    assert {stretch.seed for stretch in stretches(config)} == {config.seeds[0]}
    assert set(taken) == {s for start in starts for s in range(start - start % snapshots, start + longest(config))}
