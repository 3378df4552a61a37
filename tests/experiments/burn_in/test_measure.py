"""A burn-in that is broken off goes on from its last save, and ends with the same bytes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import smoke_config
from hypothesis import given, settings
from hypothesis import strategies as st

from sidetrip.engine.state import initial_state
from sidetrip.engine.streams import PictureStream
from sidetrip.engine.training import Position
from sidetrip.experiments.burn_in import measure as burn_in
from sidetrip.experiments.units import Run
from sidetrip.experiments.work import training
from sidetrip.files import UnitFolders, files_in, sealing
from sidetrip.tables import write_table

A_STEP = training(smoke_config(), 1).passes


class BrokenOffError(Exception):
    """What stands for a kill."""


def attempt(lab, folder: Path, steps: int | None) -> dict[str, bytes] | None:
    """Run the burn-in and break it off after so many steps of its own; None: let it finish, and return its files."""
    taken = 0

    def count(amount: int) -> None:
        nonlocal taken
        taken += amount == A_STEP  # what an earlier attempt has done is told at once
        if steps is not None and taken >= steps:
            raise BrokenOffError

    lab.progress = count
    try:
        with sealing(folder / "result") as result:
            lab.folders = UnitFolders(result, folder / "progress")
            write_table(burn_in.measure(lab, Run(0))["batch_losses"], result / "losses.csv")
    except BrokenOffError:
        return None
    finally:
        lab.progress = lambda amount: None
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_in(folder / "result")}


@pytest.fixture(scope="module")
def undisturbed(lab, tmp_path_factory):
    return attempt(lab, tmp_path_factory.mktemp("undisturbed"), None)


def save_every(patch, seconds: float) -> None:
    patch.setattr(burn_in, "SECONDS_BETWEEN_SAVES", seconds)
    patch.setattr(burn_in, "SHARE_OF_SAVES", float("inf"))


@given(breaks=st.lists(st.integers(1, 39), max_size=4), seconds=st.sampled_from([0.0, 1e9]))
@settings(max_examples=6)
def test_a_run_broken_off_anywhere_ends_with_the_same_bytes(lab, undisturbed, tmp_path_factory, breaks, seconds):
    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        save_every(patch, seconds)  # a save a step, or snapshots alone
        done = [attempt(lab, folder, steps) for steps in breaks]
        found = next((files for files in done if files is not None), None) or attempt(lab, folder, None)
    assert found == undisturbed


def test_it_keeps_snapshots_and_the_last_step_and_goes_on_from_there(lab, tmp_path, monkeypatch):
    save_every(monkeypatch, 0.0)
    assert attempt(lab, tmp_path, 22) is None
    steps = [int(path.name.removeprefix("at_")) for path in sorted((tmp_path / "progress").glob("at_*"))]
    assert steps == [0, 5, 10, 15, 20, 22]
    asked, batch = [], PictureStream.batch

    def noted(stream, step):
        asked.append(step)
        return batch(stream, step)

    monkeypatch.setattr(PictureStream, "batch", noted)
    assert attempt(lab, tmp_path, 3) is None
    assert asked == [23, 24, 25]


def test_a_damaged_save_is_said_and_not_used(lab, undisturbed, tmp_path, capsys):
    assert attempt(lab, tmp_path, 35) is None
    saved = sorted((tmp_path / "progress").glob("at_*"))
    path = saved[1] / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert attempt(lab, tmp_path, None) == undisturbed
    assert f"{path}: damaged" in capsys.readouterr().err


class Clock:
    """Stands for `time`: it goes when it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("seconds", "pause"), [(0.1, 15), (0.9, 45), (3.0, 150)])
def test_saves_take_a_fiftieth_of_the_time_at_most(lab, tmp_path, monkeypatch, seconds, pause):
    clock = Clock()
    saved, save = [], burn_in.save_state
    start = initial_state(lab.model(0))

    def slow(state, path):
        saved.append(state.step)
        clock.now += seconds
        save(state, path)

    monkeypatch.setattr(burn_in, "time", clock)
    monkeypatch.setattr(burn_in, "save_state", slow)
    journal = burn_in.Journal(tmp_path, [0])
    for step in range(400):
        clock.now += 1.0
        loss = torch.tensor(1.0) if step else None
        journal(Position(step, start.weights, loss, partial(replace, start, step=step)))
    assert saved[0] == 0
    apart = np.diff(saved)
    assert apart.min() > pause - 1
    assert apart.max() <= pause + 2
