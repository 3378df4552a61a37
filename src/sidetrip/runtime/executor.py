"""Units of work on worker processes, with progress."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pandas as pd
from tqdm import tqdm

from sidetrip.config import Config, ConfigError, Runtime
from sidetrip.files import FileError, is_whole, sealing, write_json, write_table
from sidetrip.runtime.devices import gpu_count, make_deterministic, resolve_device
from sidetrip.runtime.memory import keep_freed_memory
from sidetrip.runtime.provenance import PROVENANCE, software, spread

if TYPE_CHECKING:
    import torch

Unit = TypeVar("Unit")
ATTEMPTS = 3  # pools in a row that die before any unit is finished
_progress: Any = None  # the worker's end of the progress queue
_device = "cpu"  # the worker's device
_processes = 1  # that the worker's units go over


@dataclass(frozen=True)
class Workplace:
    """Where a unit writes.

    Attributes
    ----------
    result : Path
        Empty folder for files of the unit's result other than its tables.
    progress : Path
        Folder for what a unit that is killed can go on from; gone when the unit is finished.
    kept : bool
        Whether this is the process that writes the result and the progress. Where a unit goes over several, the
        others may read the progress, and what they put into their result is dropped.
    """

    result: Path
    progress: Path
    kept: bool = True


class Places(Protocol):
    """Where the units of a stage write, by their number."""

    def result(self, index: int) -> Path:
        """Sealed folder of a finished unit."""
        ...

    def progress(self, index: int) -> Path:
        """Folder of what a unit that is under way can go on from."""
        ...


def prepare_worker(device: str, precision: str) -> None:
    """Make this thread of this process one that units run on, on a device."""
    global _device
    _device = device
    make_deterministic(precision)
    keep_freed_memory()


def start_worker(progress: Any, device: str, precision: str, processes: int = 1) -> None:
    """Make this process one that units run on, alone or as one of several, and that ends with the stage."""
    global _progress, _processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _progress, _processes = progress, processes
    prepare_worker(device, precision)


def _start_in_pool(progress: Any, precision: str, devices: Any) -> None:
    start_worker(progress, devices.get(), precision)


def _end_with_parent() -> None:
    """End this worker when the stage is gone, however it went: nobody would take its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def report_progress(amount: float = 1) -> None:
    """Tell whoever watches that `amount` of a unit's cost is done."""
    if _progress is not None:
        _progress.put(amount)


def worker_device() -> torch.device:
    """Device that this worker computes on."""
    import torch  # which the process that hands out the work can do without

    return torch.device(_device)


def worker_devices(runtime: Runtime, units: int) -> list[str]:
    """One entry a worker: as many as cores on a CPU, one a GPU, never more than units.

    Raises
    ------
    ConfigError
        If the device asked for is not there.
    """
    device = resolve_device(runtime.device)
    if device == "cpu":
        return ["cpu"] * min(runtime.workers or len(os.sched_getaffinity(0)), units)
    if device != "cuda":
        return [device]
    return [f"cuda:{i}" for i in range(min(gpu_count(), runtime.workers or 2**30, units))]


def run_unit(function: Callable[[Unit, Workplace], Mapping[str, pd.DataFrame]], unit: Unit, place: Workplace) -> None:
    """Run one unit and seal its result: there is all of it, or nothing.

    On a cluster, the worker of an earlier attempt may be cut off and given up for lost, and yet go on. The two
    share no folder but the result, which both would fill with the same bytes: the first to finish is taken.
    """
    if is_whole(place.result):
        return
    progress = _take_over(place.progress)
    try:
        with sealing(place.result) as folder:
            for name, table in function(unit, Workplace(folder, progress)).items():
                write_table(table, folder / f"{name}.csv")
            write_json(folder / PROVENANCE, software(_device) | spread(_processes))
    except FileError:
        if not is_whole(place.result):
            raise
    for left in place.progress.parent.glob(f"{place.progress.name}*"):
        shutil.rmtree(left, ignore_errors=True)


def _take_over(progress: Path) -> Path:
    """A folder of this attempt's own, with the progress of the latest attempt before it, which thereby loses it."""
    mine = progress.with_name(f"{progress.name}.{uuid.uuid4().hex}")
    with suppress(OSError):  # two attempts may reach for it at once; the slower one begins anew
        for latest in sorted(progress.parent.glob(f"{progress.name}*"), key=lambda path: path.stat().st_mtime)[-1:]:
            latest.rename(mine)
    return mine


def run_units(
    function: Callable[[Unit, Workplace], Mapping[str, pd.DataFrame]],
    units: Sequence[Unit],
    costs: Sequence[float],
    config: Config,
    description: str,
    places: Places,
    processes: int = 1,
    counted: str = "step",
) -> None:
    """Run `function` on each unit that is not finished yet; the results lie in their `places`.

    A unit is a pure function of its inputs, so neither the number of workers nor the order in which
    they finish changes a result. The costliest units start first, so that the workers end together.

    Parameters
    ----------
    function : callable
        Of a unit and its workplace; returns tables by name. Importable by name in a fresh process.
    units, costs : sequences of equal length
        What to do, and about how many `report_progress` amounts each will report.
    config : Config
        Device, number of workers, precision.
    description : str
        For the progress bar.
    places : Places
        What is finished there is not run again.
    processes : int
        That each unit goes over; with several, units run one after another.
    counted : str
        What costs count, for the progress bar.

    Raises
    ------
    ConfigError
        If worker processes keep dying before any unit is finished.
    """
    failures, missing = 0, _missing(places, len(units))
    with tqdm(
        total=round(sum(costs)),
        initial=round(sum(costs) - sum(costs[i] for i in missing)),
        desc=description,
        unit=counted,
        mininterval=1 if sys.stderr.isatty() else 10,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]",
    ) as bar:
        while missing:
            longest_first = sorted(missing, key=lambda i: -costs[i])
            tasks = [(function, units[i], Workplace(places.result(i), places.progress(i))) for i in longest_first]
            if config.runtime.executor == "dask":
                from sidetrip.runtime.cluster import run_on_cluster  # needs a package that is optional

                run_on_cluster(tasks, [costs[i] for i in longest_first], config, bar)
                return
            try:
                if processes > 1:
                    from sidetrip.runtime.group import run_on_group  # loads torch, which takes seconds

                    run_on_group(tasks, config, bar)
                else:
                    _on_processes(tasks, config, bar)
            except BrokenExecutor as error:
                before, missing = len(missing), _missing(places, len(units))
                failures = failures + 1 if len(missing) == before else 0
                if failures == ATTEMPTS:
                    key, fewer = ("processes", "") if processes > 1 else ("workers", "fewer workers or ")
                    raise ConfigError(
                        f"runtime.{key} = {getattr(config.runtime, key)}: worker processes were killed {ATTEMPTS} "
                        f"times before a unit was finished, perhaps for memory; use {fewer}smaller batches"
                    ) from error
                tqdm.write("sidetrip: a worker process was killed; going on from what is finished", file=sys.stderr)
            else:
                return


def _missing(places: Places, units: int) -> list[int]:
    return [i for i in range(units) if not is_whole(places.result(i))]


def _on_processes(tasks: Sequence[tuple[Any, ...]], config: Config, bar: Any) -> None:
    """Run tasks on a fresh pool of processes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers inherit it before they load torch
    devices = worker_devices(config.runtime, len(tasks))
    context = multiprocessing.get_context("spawn")
    names = context.Queue()
    for device in devices:
        names.put(device)
    with (
        watching(bar, context) as progress,
        ProcessPoolExecutor(
            len(devices), context, _start_in_pool, (progress, config.model.precision, names)
        ) as executor,
    ):
        gather(executor, [(run_unit, *task) for task in tasks])


@contextmanager
def watching(bar: Any, context: SpawnContext) -> Iterator[Any]:
    """Yield a queue for workers, of what `report_progress` tells; it shows on the bar."""
    progress, ended = context.Queue(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(progress, bar, ended), daemon=True)
    watcher.start()
    try:
        yield progress
    finally:
        ended.set()
        watcher.join(1.0)  # a worker killed while it wrote to the queue leaves the reader waiting


def gather(
    executor: Executor, calls: Sequence[tuple[Any, ...]], finished: Callable[[int], None] = lambda index: None
) -> None:
    """Hand calls to any executor in their order, and tell which have finished; the first that fails ends it."""
    futures = {executor.submit(*call): index for index, call in enumerate(calls)}
    try:
        for future in as_completed(futures):
            future.result()
            finished(futures[future])
    except BaseException:
        for future in futures:
            future.cancel()
        executor.shutdown(wait=False)
        raise


def _watch(source: Any, bar: Any, ended: threading.Event) -> None:
    while not ended.is_set():
        with suppress(queue.Empty):
            bar.update(source.get(timeout=0.2))
