"""Averages all along the main trajectory: where windows begin, and that they are those of the side trips."""

from dataclasses import replace

import pandas as pd
import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.engine.lab import Lab
from sidetrip.experiments.running_averages.measure import measure
from sidetrip.experiments.running_averages.plan import Stretch, stretch_steps, stretches
from sidetrip.experiments.side_trips import measure as trips
from sidetrip.experiments.side_trips.plan import longest
from sidetrip.experiments.units import BranchPoint


def test_running_averages_are_those_of_the_side_trips(lab, branched):
    """Averaged with trips or without, what lies on the main trajectory is the same."""
    scores = trips.measure(lab, BranchPoint(0, 20))["side_trips"]
    along = measure(lab, Stretch(0, (20,)))["running_averages"]
    averages = scores.query("model == 'average' and window_steps == 10 and kernel in ['swa', 'ema']")
    found = along.query("kernel in ['swa', 'ema']").set_index(["kernel", "split"])["loss"]
    assert found.to_dict() == averages.set_index(["kernel", "split"])["loss"].to_dict()
    assert set(along["step"]) == {20, 21, 25, 28, 29, 30}
    momentary = scores.query("model == 'momentary' and window_steps == 10 and look == 2 and split == 'train'")
    here = along.query("kernel == 'none' and step == 28 and split == 'train'")
    assert here["loss"].tolist() == momentary["loss"].tolist()


@pytest.mark.parametrize("every", [4, 10])
def test_windows_that_share_a_pass_give_the_table_of_a_replay_for_each(lab, snapshots, every):
    """Byte for byte: the windows overlap, or touch."""
    config = replace(lab.config, side_trips=replace(lab.config.side_trips, every=every))
    config = replace(config, burn_in=replace(config.burn_in, snapshot_every=15))  # so few that windows share their way
    here = Lab(config, lab.runs, lab.device)
    riding = [measure(here, stretch)["running_averages"] for stretch in stretches(config)]
    starts = [start for stretch in stretches(config) for start in stretch.starts]
    replayed = [measure(here, Stretch(0, (start,)))["running_averages"] for start in starts]
    assert len(riding) < len(replayed)
    assert pd.concat(riding).to_csv(index=False) == pd.concat(replayed).to_csv(index=False)


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
