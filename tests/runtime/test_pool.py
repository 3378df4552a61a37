"""A worker that dies is told of by the signal that ended it; memory is guessed of SIGKILL alone."""

import errno
import os
import queue
import signal
from multiprocessing import forkserver
from unittest import mock

import cluster_units
import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.config import ConfigError
from sidetrip.files import FileError
from sidetrip.tables import read_table
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.pool import ending
from sidetrip.runtime.progress import BETWEEN_MESSAGES, Teller
from sidetrip.runtime.scratch import unit_folders


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (-signal.SIGKILL, "killed by SIGKILL, perhaps for memory"),
        (-signal.SIGSEGV, "killed by SIGSEGV"),
        (-signal.SIGABRT, "killed by SIGABRT"),
        (3, "ended with exit status 3"),
        (None, "ended"),
    ],
)
def test_how_a_process_ended(status, said):
    assert ending(status) == said


class Folders:
    def __init__(self, folder):
        self.folder = folder

    def of_unit(self, index):
        return unit_folders(self.folder, f"unit_{index}")


def test_workers_that_keep_crashing_are_one_line_with_the_signal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    said = (
        "lost 3 times before a unit was finished, the last one killed by SIGSEGV; use fewer workers or smaller batches"
    )
    with pytest.raises(ConfigError, match=f"{said}$"):
        run_units(cluster_units.crashing, [0], [1.0], smoke_config(), "test", Folders(tmp_path))
    assert "perhaps for memory" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [EOFError("unexpected EOF"), ConnectionResetError(errno.ECONNRESET, "reset")])
def test_the_process_that_forks_workers_may_die_like_one_of_them(tmp_path, monkeypatch, capsys, error):
    """Killed just before it forks one."""
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    monkeypatch.chdir(tmp_path)
    read, died = forkserver.read_signed, []

    def dies_once(descriptor):
        if not died:
            died.append(descriptor)
            raise error
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", dies_once)
    folders = Folders(tmp_path)
    run_units(cluster_units.where, [0, 1], [1.0, 1.0], smoke_config(), "test", folders)
    assert all((folders.of_unit(index).result / "table.csv").is_file() for index in (0, 1))
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("sidetrip:")]
    assert said == ["sidetrip: a worker process was ended; going on from what is finished"]


def test_workers_begin_with_what_takes_long_to_load(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    folders = Folders(tmp_path)
    run_units(cluster_units.loaded, [0], [1.0], smoke_config(), "test", folders)
    (row,) = read_table(folders.of_unit(0).result / "loaded.csv").to_dict("records")
    assert row == {"pandas": True, "torch": True, "torch._dynamo": False}


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 2)), max_size=50))
def test_all_that_is_done_is_told_now_and_then(done):
    messages, now = queue.SimpleQueue(), 0.0
    with mock.patch("sidetrip.runtime.progress.time.monotonic", lambda: now):
        teller = Teller(messages)
        for amount, seconds in done:
            now += seconds
            teller.add(amount)
        teller.tell()
    told = [messages.get() for _ in range(messages.qsize())]
    assert sum(told) == pytest.approx(sum(amount for amount, _ in done))
    assert len(told) <= 1 + now / BETWEEN_MESSAGES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.ENOSYS, errno.EROFS])
def test_without_room_for_semaphores_a_line_says_where(tmp_path, monkeypatch, number):
    def semaphore(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("_multiprocessing.SemLock", semaphore)
    with pytest.raises(FileError) as refused:
        run_units(cluster_units.crashing, [0], [1.0], smoke_config(), "test", Folders(tmp_path))
    assert str(refused.value) == (
        f"/dev/shm: no semaphores for worker processes can be made there ({os.strerror(number)}); mount it with 1 MB "
        "or more (containers: --shm-size=64m), and run again"
    )
