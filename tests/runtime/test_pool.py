"""A worker that dies is told of by the signal that ended it; memory is guessed of SIGKILL alone."""

import errno
import multiprocessing
import queue
import signal
import time
from multiprocessing import forkserver
from pathlib import Path
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
from sidetrip.runtime.pool import _end, ending
from sidetrip.runtime.progress import BETWEEN_MESSAGES, Teller
from sidetrip.runtime.scratch import unit_folders
from sidetrip.tables import read_table


def test_how_a_process_ended():
    """By another signal, and without a status: the tests below."""
    assert ending(-signal.SIGKILL) == "killed by SIGKILL, perhaps for memory"
    assert ending(3) == "ended with exit status 3"


@pytest.fixture(autouse=True)
def workers_find_units(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path('src').resolve()}:{Path('tests').resolve()}")


def run(unit, folder, work=(1,)) -> list[Path]:
    """Run units of so much work each, numbered from 0; their results."""
    folders = [unit_folders(folder, f"unit_{index}") for index in range(len(work))]
    run_units(unit, range(len(work)), work, smoke_config(), "test", folders, "unit")
    return [each.result for each in folders]


def test_the_process_that_forks_workers_may_die_like_one_of_them(tmp_path, monkeypatch, capsys):
    """Killed just before it forks one, twice: the pipe to it has ended, or was reset.

    Before tests that leave threads which still read how workers ended.
    """
    monkeypatch.chdir(tmp_path)
    read, errors = forkserver.read_signed, [EOFError("unexpected EOF"), ConnectionResetError(errno.ECONNRESET, "reset")]

    def dies_twice(descriptor):
        if errors:
            raise errors.pop()
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", dies_twice)
    assert all((result / "table.csv").is_file() for result in run(cluster_units.where, tmp_path, work=(1, 1)))
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("sidetrip:")]
    assert said == ["sidetrip: a worker process was ended; going on from what is finished"] * 2


def test_workers_that_keep_crashing_are_one_line_with_the_signal_however_slowly_it_is_read(tmp_path, monkeypatch):
    """A pipe tells it to the one thread that reads first: who comes second finds the end of it, read as status 255."""
    read = forkserver.read_signed

    def slowly(descriptor):
        time.sleep(0.2)
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", slowly)
    said = (
        "lost 3 times before a unit was finished, the last one killed by SIGSEGV; use fewer workers or smaller batches"
    )
    with pytest.raises(ConfigError, match=f"{said}$"):
        run(cluster_units.crashing, tmp_path, work=(1, 1))


def test_a_worker_that_a_broken_pool_has_left_is_ended():
    """It would wait for work for ever, and this process for it when it ends."""
    killed, left = (multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,)) for _ in range(2))
    for process in (killed, left):
        process.start()
    killed.kill()
    killed.join()
    _end([left, killed])
    assert (left.exitcode, killed.exitcode) == (-signal.SIGTERM, -signal.SIGKILL)


def test_workers_begin_with_what_takes_long_to_load_and_do_without_torch_s_compiler(tmp_path):
    """To import that takes longer than a small unit."""
    (result,) = run(cluster_units.loaded, tmp_path)
    (row,) = read_table(result / "loaded.csv").to_dict("records")
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


def test_a_bar_ends_full_though_a_worker_is_lost_on_the_way(tmp_path, monkeypatch, capsys):
    bars = []

    def kept(**options):
        bars.append(tqdm(**options))
        return bars[-1]

    monkeypatch.setattr("sidetrip.runtime.progress.tqdm", kept)
    (tmp_path / "unit_0").mkdir()  # damaged: it is run, too
    for work in ((7, 11), (7, 11, 13)):  # the second time, two are finished
        run(cluster_units.lost_on_the_way, tmp_path, work)
    assert [(bar.n, bar.total, bar.initial) for bar in bars] == [(18, 18, 0), (31, 31, 18)]
    assert "31/31 [" in capsys.readouterr().err.splitlines()[-1]


def test_without_room_for_semaphores_a_line_says_where(tmp_path, monkeypatch):
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("_multiprocessing.SemLock", full)
    said = r"^/dev/shm: no semaphores for worker processes .* \(No space left on device\); mount it with 1 MB or more "
    with pytest.raises(FileError, match=said):
        run(cluster_units.crashing, tmp_path)
