"""Units of work on worker processes, with progress."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from sidetrip.config import Runtime
from sidetrip.runtime.devices import make_deterministic, resolve_device

Unit = TypeVar("Unit")
Result = TypeVar("Result")
_progress: Any = None  # the worker's end of the progress queue
_device = torch.device("cpu")  # the worker's device


def _start_worker(queue: Any, precision: str, devices: Any) -> None:
    global _progress, _device
    _progress, _device = queue, torch.device(devices.get())
    make_deterministic(precision)


def report_progress(amount: float = 1) -> None:
    """Tell whoever watches that `amount` of a unit's cost is done."""
    if _progress is not None:
        _progress.put(amount)


def worker_device() -> torch.device:
    """Device that this worker computes on."""
    return _device


def worker_devices(runtime: Runtime, units: int) -> list[str]:
    """One entry a worker: as many as cores on a CPU, one a GPU, never more than units.

    Raises
    ------
    ConfigError
        If the device asked for is not there.
    """
    device = resolve_device(runtime.device)
    if device.type == "cpu":
        return ["cpu"] * min(runtime.workers or len(os.sched_getaffinity(0)), units)
    if device.index is not None:
        return [str(device)]
    return [f"cuda:{i}" for i in range(min(torch.cuda.device_count(), runtime.workers or 2**30, units))]


def run_units(
    function: Callable[[Unit], Result],
    units: Sequence[Unit],
    costs: Sequence[float],
    runtime: Runtime,
    precision: str,
    description: str,
) -> list[Result]:
    """Run `function` on each unit and return the results in the order of the units.

    A unit is a pure function of its inputs, so neither the number of workers nor the order in which
    they finish changes a result. The costliest units start first, so that the workers end together.

    Parameters
    ----------
    function : callable
        Importable by name in a fresh process.
    units, costs : sequences of equal length
        What to do, and about how many `report_progress` amounts each will report.
    runtime : Runtime
        Device and number of workers.
    precision : str
        fp32 | tf32 | bf16.
    description : str
        For the progress bar.
    """
    devices = worker_devices(runtime, len(units))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers inherit it before they load torch
    context = multiprocessing.get_context("spawn")
    queue, names = context.Queue(), context.Queue()
    for device in devices:
        names.put(device)
    pool = ProcessPoolExecutor(len(devices), context, _start_worker, (queue, precision, names))
    with tqdm(
        total=round(sum(costs)), desc=description, unit="step", mininterval=1 if sys.stderr.isatty() else 10
    ) as bar:
        watcher = threading.Thread(target=_watch, args=(queue, bar), daemon=True)
        watcher.start()
        try:
            with pool:
                return _gather(pool, function, units, costs)
        finally:
            queue.put(None)
            watcher.join()


def _gather(
    executor: Executor, function: Callable[[Unit], Result], units: Sequence[Unit], costs: Sequence[float]
) -> list[Result]:
    longest_first = sorted(range(len(units)), key=lambda i: -costs[i])
    futures = {i: executor.submit(function, units[i]) for i in longest_first}
    try:
        return [futures[i].result() for i in range(len(units))]
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise


def _watch(queue: Any, bar: Any) -> None:
    while (amount := queue.get()) is not None:
        bar.update(amount)
