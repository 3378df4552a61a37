"""Tasks on a pool of processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

from sidetrip.config import Config, ConfigError, Runtime
from sidetrip.engine.determinism import one_thread_each
from sidetrip.files import FileError
from sidetrip.runtime.devices import gpu_count, on_cores, resolve_device
from sidetrip.runtime.progress import Teller, watching
from sidetrip.runtime.stopping import shield_children
from sidetrip.runtime.terminal import speak_heedlessly
from sidetrip.runtime.units import Task, Worker, become, follow_parent, run_task

SEMAPHORES = 64  # more than a pool makes; each takes a page of memory
LOADED = ["sidetrip.runtime.loaded"]


class WorkerKilledError(RuntimeError):
    """A worker process ended before its unit was finished; the message says how."""


def ending(status: int | None) -> str:
    """How a process ended, by its exit status; minus the number of a signal, if one ended it.

    Memory is a guess that only SIGKILL allows: the system ends with it what takes too much.
    """
    if status is None or status >= 0:
        return "ended" if status is None else f"ended with exit status {status}"
    name = signal.Signals(-status).name if -status in {int(s) for s in signal.Signals} else f"signal {-status}"
    return f"killed by {name}{', perhaps for memory' if -status == signal.SIGKILL else ''}"


def worker_devices(runtime: Runtime, units: int) -> list[str]:
    """One entry for each worker: as many as cores on a CPU, one per GPU, never more than units."""
    device = resolve_device(runtime.device)
    if device == "cpu":
        return ["cpu"] * min(runtime.workers or len(os.sched_getaffinity(0)), units)
    if device != "cuda":
        return [device]
    return [f"cuda:{i}" for i in range(min(gpu_count(), runtime.workers or 2**30, units))]


def run_on_pool(tasks: Sequence[Task], config: Config, bar: Any) -> None:
    """Run tasks on a fresh pool of processes.

    Raises
    ------
    WorkerKilledError
        If a worker was killed; what is finished is in its place.
    FileError
        If processes can share no semaphores.
    """
    devices = worker_devices(config.runtime, len(tasks))
    context = _context(LOADED)
    names = context.Queue()
    for device in devices:
        names.put(device)
    with watching(bar, context) as progress:
        initial = (progress, config.model.precision, names)
        with _processes(len(devices), context, _start, initial) as executor:
            submit_all(executor, [(run_task, task) for task in tasks])


def on_all_cores(function: Callable[[Any], None], items: Sequence[Any], config: Config, loaded: list[str]) -> None:
    """Call a function of each item, on as many processes of this machine as the configuration allows.

    The function is importable by name and needs no torch; the processes have the modules `loaded` when they start.

    Raises
    ------
    ConfigError
        If a process was killed.
    FileError
        If processes can share no semaphores.
    """
    number = len(worker_devices(on_cores(config).runtime, len(items)))
    try:
        with _processes(number, _context(loaded), _start_alone) as executor:
            submit_all(executor, [(function, item) for item in items])
    except WorkerKilledError as error:
        raise ConfigError(f"runtime.workers = {number}: a process was killed; use fewer, or run again") from error


@contextmanager
def _processes(number: int, context: BaseContext, start: Any, arguments: tuple[Any, ...] = ()) -> Iterator[Executor]:
    """A pool of processes, each of which begins with `start`.

    Raises
    ------
    WorkerKilledError
        If one was killed.
    """
    with ProcessPoolExecutor(number, context, start, arguments) as executor:
        workers: Any = executor._processes  # the exit status of a worker is told nowhere else
        try:
            yield executor
        except (BrokenProcessPool, EOFError, ConnectionError) as error:  # the others: the process that forks was killed
            processes = list(workers.values())
            _end(processes)
            broken = isinstance(error, BrokenProcessPool)
            raise WorkerKilledError(_first_killed(processes) if broken else ending(None)) from error


def _context(loaded: list[str]) -> BaseContext:
    """What starts worker processes, which have these modules loaded."""
    one_thread_each()  # workers inherit it before they load torch
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(loaded)
    _check_semaphores(context)
    shield_children()
    return context


def _check_semaphores(context: BaseContext) -> None:
    """Refuse a machine on which /dev/shm, where Linux keeps semaphores, is missing or full, as in some containers."""
    try:
        _ = [context.Lock() for _ in range(SEMAPHORES)]
    except OSError as error:
        raise FileError(
            f"/dev/shm: no semaphores for worker processes can be made there ({error.strerror}); mount it with 1 MB or "
            "more (containers: --shm-size=64m), and run again"
        ) from error


def _start(progress: Any, precision: str, devices: Any) -> None:
    _start_alone()
    become(Worker(devices.get(), progress=Teller(progress)), precision)


def _start_alone() -> None:
    speak_heedlessly()
    follow_parent()


def _end(workers: Sequence[Any]) -> None:
    """End what a pool that broke has left: it does not know of a worker that started while it ended the others."""
    for process in workers:
        if process.is_alive():
            process.terminate()
            process.join()


def _first_killed(workers: Sequence[Any]) -> str:
    """How the worker ended that broke the pool, which is shut down by now; the others were ended with SIGTERM."""
    own = [process.exitcode for process in workers if process.exitcode not in (0, -signal.SIGTERM)]
    return ending(own[0] if own else None)


def submit_all(
    executor: Executor, calls: Sequence[tuple[Any, ...]], finished: Callable[[int], None] = lambda index: None
) -> None:
    """Hand calls to any executor in their order, and tell which have finished; the first that fails ends it."""
    futures: dict[Future[Any], int] = {}
    try:
        for index, call in enumerate(calls):
            futures[executor.submit(*call)] = index
        for future in as_completed(futures):
            future.result()
            finished(futures[future])
    except BaseException as error:
        for future in futures:
            future.cancel()
        # A broken pool ends its processes itself, and only one thread can learn a process's exit status.
        executor.shutdown(wait=isinstance(error, BrokenExecutor))
        raise
