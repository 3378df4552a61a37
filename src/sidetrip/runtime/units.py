"""One unit of work on a worker process: what it is, and how its result comes to be whole or not there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sidetrip.engine.determinism import make_deterministic
from sidetrip.files import FileError, UnitFolders, is_whole, sealing, write_json
from sidetrip.runtime.devices import use_device
from sidetrip.runtime.memory import keep_freed_memory
from sidetrip.runtime.progress import Teller
from sidetrip.runtime.provenance import PROVENANCE, software
from sidetrip.tables import write_table

if TYPE_CHECKING:
    import pandas as pd

Function = Callable[[Any, UnitFolders], "Mapping[str, pd.DataFrame]"]


@dataclass(frozen=True)
class Worker:
    """What a unit may know of the process that it runs on: its device, and who is told of what is done."""

    device: str = "cpu"
    progress: Teller = field(default_factory=Teller)


_worker = Worker()


def worker() -> Worker:
    """The worker that this process is."""
    return _worker


@dataclass(frozen=True)
class Task:
    """A unit with its function, the folders that it writes to, and how much work it is."""

    function: Function
    unit: Any
    folders: UnitFolders
    work: int


def become(role: Worker, precision: str) -> None:
    """Make this thread of this process one that units run on."""
    global _worker
    _worker = role
    make_deterministic(precision)
    keep_freed_memory()


def follow_parent() -> None:
    """Let this process end with the process that started it, and not before."""
    # An interrupt goes to all processes of a terminal; the one that started this decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})

    def end_with_parent() -> None:
        parent: Any = multiprocessing.parent_process()
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def run_task(task: Task) -> None:
    """Run one unit and seal its result: there is all of it, or nothing.

    On a cluster, the worker of an earlier attempt may be cut off and given up for lost, and yet go on. The two
    share no folder but the result, which both would fill with the same bytes: the first to finish is taken.
    """
    folders = task.folders
    if is_whole(folders.result):
        return
    use_device(_worker.device)
    _worker.progress.begin(task.work)
    progress = _take_over(folders)
    try:
        with sealing(folders.result) as folder:
            for name, table in task.function(task.unit, UnitFolders(folder, progress)).items():
                write_table(table, folder / f"{name}.csv")
            write_json(folder / PROVENANCE, software(_worker.device))
    except FileError:
        if not is_whole(folders.result):
            raise
    for left in folders.progress.parent.glob(f"{folders.progress.name}*"):
        shutil.rmtree(left, ignore_errors=True)
    _worker.progress.finish()


def _take_over(folders: UnitFolders) -> Any:
    """A folder of this attempt's own, with the progress of the latest attempt before it, which thereby loses it."""
    progress = folders.progress
    mine = progress.with_name(f"{progress.name}.{uuid.uuid4().hex}")
    with suppress(OSError):  # two attempts may reach for it at once; the slower one begins anew
        for latest in sorted(progress.parent.glob(f"{progress.name}*"), key=lambda path: path.stat().st_mtime)[-1:]:
            latest.rename(mine)
    return mine
