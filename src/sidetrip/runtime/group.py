"""Units that each run on a group of processes, one per GPU or core; one unit after another.

torch's elastic launcher (what torchrun is made of, here as a library) starts the processes, the ranks, and ends all of
them when one of them ends. Every rank runs the same unit; how they share a step is in `sidetrip.engine.parallel`. The
first one alone writes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import shutil
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidetrip.config import Config, ConfigError
from sidetrip.files import UnitFolders
from sidetrip.runtime.devices import rank_devices
from sidetrip.runtime.pool import WorkerKilledError, check_semaphores, ending
from sidetrip.runtime.progress import Teller, watching
from sidetrip.runtime.units import Task, Worker, run_task, start_worker

HERE = "127.0.0.1"  # a group lives on one machine


def run_on_group(tasks: Sequence[Task], config: Config, bar: Any) -> None:
    """Run tasks one after another on a fresh group of `runtime.processes` ranks.

    Raises
    ------
    WorkerKilledError
        If a rank was killed; what is finished is in its place.
    ConfigError
        If the ranks could not form a group.
    FileError
        As `check_semaphores`.
    """
    devices = rank_devices(config.runtime)
    # Read when torch is loaded, by this process and by the ranks, or when they meet.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from sidetrip.engine.parallel import NoGroupError, RankLostError

    context = multiprocessing.get_context("spawn")
    check_semaphores(context)
    errors = context.SimpleQueue()
    aside = tasks[0].folders.result.parent / ".ranks"
    # Only the first rank has something to say; gloo tells of its connections on standard output.
    redirects = {rank: Std.ALL if rank else Std.OUT for rank in range(len(devices))}
    with _folder(aside), _quiet(), watching(bar, context) as progress:
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=len(devices),
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=f"{HERE}:0",
            local_addr=HERE,
            max_restarts=0,  # whoever called decides that, as for any worker that is lost
            logs_specs=DefaultLogsSpecs(str(aside / "logs"), redirects),
            signals_to_handle="",  # ranks end with this process, however it ends
        )
        try:
            elastic_launch(launch, _rank)(tasks, devices, config.model.precision, aside, progress, errors)
        except ChildFailedError as failure:
            told = _told(errors)
            missed = (RankLostError, DistError)  # of a rank that only misses another
            error = next((error for error in told if not isinstance(error, missed)), told[0] if told else None)
            if isinstance(error, NoGroupError) and not _was_killed(failure):
                raise _no_group(len(devices), error) from error
            if error is not None and not isinstance(error, (NoGroupError, *missed)):
                raise error from None
            raise WorkerKilledError(_how_it_ended(failure, error)) from error or failure
        except (DistError, RendezvousError) as error:  # of the launcher itself
            raise _no_group(len(devices), error) from error


def _no_group(processes: int, error: Exception) -> ConfigError:
    cause = str(error).strip().splitlines()
    return ConfigError(
        f"runtime.processes = {processes}: the processes could not form a group "
        f"({cause[0] if cause else type(error).__name__}); mend what it names, or use 1"
    )


def _told(errors: Any) -> list[Exception]:
    """What ranks have told of, in their order."""
    told = []
    while not errors.empty():
        told.append(errors.get())
    return told


def _was_killed(failure: Any) -> bool:
    """Whether the first rank that ended was ended by a signal: the others then miss it."""
    return failure.get_first_failure()[1].exitcode < 0


def _how_it_ended(failure: Any, error: Exception | None) -> str:
    """How the first rank ended, with the last error that a rank told of."""
    _, first = failure.get_first_failure()
    told = f" ({str(error).splitlines()[0]})" if error is not None else ""
    return ending(first.exitcode) + told


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the telling to sidetrip: the launcher logs every process that ends, by loggers of many names."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


# In a rank


def _rank(
    tasks: Sequence[Task],
    devices: Sequence[str],
    precision: str,
    aside: Path,
    progress: Any,
    errors: Any,
) -> None:
    """Run the tasks as one process of the group; an error is handed over, and ends it."""
    from sidetrip.engine.parallel import joined

    rank = int(os.environ["LOCAL_RANK"])
    try:
        start_worker(Worker(devices[rank], len(devices), None if rank else Teller(progress)), precision)
        with joined(devices[rank]) as ranks:
            for task in tasks:
                if rank:
                    _take_part(task, Path(ranks.tell()), aside / str(rank))
                else:
                    run_task(replace(task, function=_Announcing(task.function, ranks)))
    except Exception as error:
        # At once and for good: the others may be waiting for this one, so that the launcher has to end them.
        errors.put(_portable(error))
        os._exit(1)


class _Announcing:
    """A unit's function that first tells the other ranks what there is to go on from."""

    def __init__(self, function: Any, ranks: Any) -> None:
        self._function, self._ranks = function, ranks

    def __call__(self, unit: Any, folders: UnitFolders) -> Any:
        self._ranks.tell(str(folders.progress))
        return self._function(unit, folders)


def _take_part(task: Task, progress: Path, aside: Path) -> None:
    """Run a unit whose result the first rank keeps."""
    aside.mkdir(parents=True)
    task.function(task.unit, UnitFolders(aside, progress, is_writer=False))
    shutil.rmtree(aside)


def _portable(error: Exception) -> Exception:
    """The error with its traceback, such that another process can read it."""
    text = traceback.format_exc()
    error.add_note(text)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error
