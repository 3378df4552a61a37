"""A worker that dies is told of by the signal that ended it; memory is guessed of SIGKILL alone."""

import errno
import os
import queue
import signal
import time
from multiprocessing import forkserver
from unittest import mock

import cluster_units
import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from sidetrip.config import ConfigError
from sidetrip.files import FileError
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.pool import ending
from sidetrip.runtime.progress import BETWEEN_MESSAGES, Teller
from sidetrip.runtime.scratch import unit_folders
from sidetrip.tables import read_table


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
        run_units(cluster_units.crashing, [0], [1], smoke_config(), "test", Folders(tmp_path), "unit")
    assert "perhaps for memory" not in capsys.readouterr().err


def test_how_a_worker_ended_is_read_once_however_slowly(tmp_path, monkeypatch):
    """A pipe tells it to the one thread that reads first: who comes second finds the end of it, read as status 255."""
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    read = forkserver.read_signed

    def slowly(descriptor):
        time.sleep(0.2)
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", slowly)
    with pytest.raises(ConfigError, match="the last one killed by SIGSEGV"):
        run_units(cluster_units.crashing, [0, 1], [1, 1], smoke_config(), "test", Folders(tmp_path), "unit")


def test_the_process_that_forks_workers_may_die_like_one_of_them(tmp_path, monkeypatch, capsys):
    """Killed just before it forks one, twice: the pipe to it has ended, or was reset."""
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    monkeypatch.chdir(tmp_path)
    read, errors = forkserver.read_signed, [EOFError("unexpected EOF"), ConnectionResetError(errno.ECONNRESET, "reset")]

    def dies_twice(descriptor):
        if errors:
            raise errors.pop()
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", dies_twice)
    folders = Folders(tmp_path)
    run_units(cluster_units.where, [0, 1], [1, 1], smoke_config(), "test", folders, "unit")
    assert all((folders.of_unit(index).result / "table.csv").is_file() for index in (0, 1))
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("sidetrip:")]
    assert said == ["sidetrip: a worker process was ended; going on from what is finished"] * 2


def test_workers_begin_with_what_takes_long_to_load_and_do_without_torch_s_compiler(tmp_path, monkeypatch):
    """To import that takes longer than a small unit."""
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    folders = Folders(tmp_path)
    run_units(cluster_units.loaded, [0], [1], smoke_config(), "test", folders, "unit")
    (row,) = read_table(folders.of_unit(0).result / "loaded.csv").to_dict("records")
    assert row == {"pandas": True, "torch": True, "compiler": False}


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 2)), max_size=50), st.integers(0, 3000))
def test_of_a_unit_all_its_work_is_told_of_now_and_then(done, work):
    """Whatever the unit itself tells of: too little, or more than it is."""
    messages, now = queue.SimpleQueue(), 0.0
    with mock.patch("sidetrip.runtime.progress.time.monotonic", lambda: now):
        teller = Teller(messages)
        teller.begin(work)
        for amount, seconds in done:
            now += seconds
            teller.add(amount)
        teller.finish()
    told = [messages.get() for _ in range(messages.qsize())]
    assert sum(told) == work
    assert len(told) <= 1 + now / BETWEEN_MESSAGES


class Bars(list):
    """Bars that are made, which stay when they are closed."""

    def __call__(self, *arguments, **options):
        self.append(tqdm(*arguments, **options))
        return self[-1]


def test_a_bar_ends_full_though_a_worker_is_lost_on_the_way(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", "src:tests")
    monkeypatch.setattr("sidetrip.runtime.progress.tqdm", bars := Bars())
    (tmp_path / "unit_0").mkdir()  # damaged: it is run, too
    for units in ([0, 1], [0, 1, 2]):  # the second time, two are finished
        work = [7, 11, 13][: len(units)]
        run_units(cluster_units.lost_on_the_way, units, work, smoke_config(), "test", Folders(tmp_path), "part")
    assert [(bar.n, bar.total, bar.initial) for bar in bars] == [(18, 18, 0), (31, 31, 18)]
    assert "31/31 [" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.ENOSYS, errno.EROFS])
def test_without_room_for_semaphores_a_line_says_where(tmp_path, monkeypatch, number):
    def semaphore(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("_multiprocessing.SemLock", semaphore)
    with pytest.raises(FileError) as refused:
        run_units(cluster_units.crashing, [0], [1], smoke_config(), "test", Folders(tmp_path), "unit")
    assert str(refused.value) == (
        f"/dev/shm: no semaphores for worker processes can be made there ({os.strerror(number)}); mount it with 1 MB "
        "or more (containers: --shm-size=64m), and run again"
    )
