"""Units of work on Dask workers: those of a cluster, or processes of this machine for as long as the stage runs.

Dask carries a call to a worker and tells when it is done, no more: inputs and results go through the file system,
by paths relative to the root of the repository, which stage and workers share.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

import sidetrip
from sidetrip.config import Config, ConfigError, Runtime
from sidetrip.config.paths import found_path
from sidetrip.engine.determinism import THREADS, one_thread_each, present_arithmetic
from sidetrip.files import files_in, listing
from sidetrip.runtime.devices import gpu_count, resolve_device
from sidetrip.runtime.pool import submit_all, worker_devices
from sidetrip.runtime.provenance import versions
from sidetrip.runtime.stopping import shield_children
from sidetrip.runtime.units import Task, Worker, become, run_task

try:
    import dask
    from distributed import Client, KilledWorker, LocalCluster, get_worker
except ModuleNotFoundError as missing:
    raise ConfigError("runtime.executor = dask: needs Dask; run pip install 'sidetrip[cluster]'") from missing

CONNECT_SECONDS = 10
# A network file system may show what another machine wrote up to about a minute late.
VISIBLE_SECONDS = 90.0
# Memory is the system's to give, as it is to the process pool; whatever listens does so on the loopback interface.
HERE: dict[str, Any] = {
    "threads_per_worker": 1,
    "memory_limit": None,
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
}
# Samples what workers do a hundred times a second, 2 % of their time, for a page that nobody looks at.
NO_PROFILER = {"distributed.worker.profile.enabled": False}
LIBRARY = Path(sidetrip.__file__).parent


def _library() -> str:
    return listing([path for path in files_in(LIBRARY) if path.suffix == ".py"], LIBRARY)


# As it was when this process loaded it: a worker may be older than the last edit.
LOADED = _library()


@dataclass(frozen=True)
class Terms:
    """What a worker has to have in common with the stage for its results to be the stage's own."""

    config: Config  # device and precision
    folder: Path  # of the results, relative to the root of the repository
    versions: dict[str, str]  # of what computes
    library: str  # digests of the sources of sidetrip
    threads: str  # OMP_NUM_THREADS, by which sums are ordered
    arithmetic: str  # portable or native
    devices: tuple[str, ...]  # of the workers on this machine, by their number; empty for those of a cluster


def run_on_cluster(tasks: Sequence[Task], config: Config, bar: Any) -> None:
    """Run tasks on Dask workers, in their order; Dask gives the unit of a lost worker to another one, a few times.

    Raises
    ------
    ConfigError
        If there is no cluster, one of its workers does not suit, or workers keep being lost.
    """
    threads = one_thread_each()  # workers started here inherit it
    devices = () if config.runtime.on_cluster else tuple(worker_devices(config.runtime, len(tasks)))
    terms = Terms(config, tasks[0].folders.result.parent, versions(), LOADED, threads, present_arithmetic(), devices)

    def finished(index: int) -> None:
        result = tasks[index].folders.result
        if not _appears(result):
            raise ConfigError(f"runtime.executor = dask: {result} was written by a worker and is not here; {SHARE}")
        bar.update(tasks[index].work)

    needs = _needs(config.runtime)
    with _client(config.runtime, devices) as client:
        try:
            _introduce(client, needs)
            _check_environments(client)
        except OSError as error:  # what Dask raises at a scheduler that is gone, before any unit is under way
            raise CancelledError from error
        executor = client.get_executor(pure=False, **({"resources": needs} if needs else {}))
        submit_all(executor, [(_run_there, terms, task) for task in tasks], finished)


def check_cluster(runtime: Runtime) -> None:
    """Refuse settings of a cluster that is not there."""
    if runtime.on_cluster:
        _connect(runtime).close()


# In the stage


@contextmanager
def _client(runtime: Runtime, devices: Sequence[str]) -> Iterator[Client]:
    """Client of the cluster, or of workers on this machine, one a device, which end with it."""
    with _one_line_losses(), _quiet():
        if runtime.on_cluster:
            with _connect(runtime) as client:
                yield client
        else:
            # Units run on a thread of Dask's own. With an arena of its own it would fault in most pages anew (see
            # runtime/memory.py), 3 % of a unit's time. Read when a worker starts.
            os.environ.setdefault("MALLOC_ARENA_MAX", "1")
            shield_children()
            quiet = dask.config.set(NO_PROFILER)
            with quiet, LocalCluster(n_workers=len(devices), **HERE) as cluster, Client(cluster) as client:
                yield client


def _needs(runtime: Runtime) -> dict[str, int]:
    """One unit a GPU: Dask counts those that the workers of a cluster say they have."""
    return {"GPU": 1} if runtime.on_cluster and runtime.device.startswith("cuda") else {}


def _connect(runtime: Runtime) -> Client:
    key = "dask_address" if runtime.dask_address else "dask_scheduler_file"
    where = f"runtime.{key} = {getattr(runtime, key)}"
    address = runtime.dask_address or _address_in(found_path(runtime.dask_scheduler_file), where)
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:  # the latter: not an address
        raise ConfigError(
            f"{where}: no Dask scheduler answers there; start one with `dask scheduler`, or correct the setting"
        ) from error
    except TypeError as error:  # of an address of tls without certificates
        raise ConfigError(
            f"{where}: certificates are missing; name them in Dask's own configuration, distributed.comm.tls, or use "
            "tcp://"
        ) from error


def _address_in(path: Path, where: str) -> str:
    remedy = "start the scheduler with --scheduler-file and this path"
    try:
        return str(json.loads(path.read_bytes())["address"])
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where}: holds no address; {remedy}") from error


def _introduce(client: Client, needs: Mapping[str, int]) -> None:
    """Say where the work goes, and what it waits for."""
    scheduler = client.scheduler_info(n_workers=-1)
    workers, address = scheduler["workers"].values(), scheduler["address"]
    link = f", dashboard {client.dashboard_link}" if "dashboard" in scheduler["services"] else ""
    lines = [f"{len(workers)} Dask workers at {address}{link}"]
    if not any(needs.keys() <= worker["resources"].keys() for worker in workers):
        options = "".join(f" --resources {name}={number}" for name, number in needs.items())
        lines.append(f"waiting for a worker; start one here with `dask worker {address} --nthreads 1{options}`")
    for line in lines:
        tqdm.write(f"sidetrip: {line}", file=sys.stderr)


def _check_environments(client: Client) -> None:
    """Refuse workers that have no sidetrip: they would end at the first call, and leave the stage waiting."""
    client.wait_for_workers(1)
    for address, found in client.run(find_spec, __name__, on_error="return").items():
        if not isinstance(found, ModuleSpec):
            raise ConfigError(
                f"worker {address}: cannot import sidetrip; start it in the environment that the stage runs in, .venv "
                "of the repository"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the telling to sidetrip: Dask logs what comes, goes and fails, by loggers with levels of their own."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _one_line_losses() -> Iterator[None]:
    try:
        yield
    except CancelledError as error:
        raise ConfigError(
            "runtime.executor = dask: the scheduler is gone; start it and its workers again, and run again: what is "
            "finished is kept"
        ) from error
    except KilledWorker as error:
        raise ConfigError(
            f"runtime.executor = dask: {error.allowed_failures + 1} workers in a row were lost in the same unit, "
            "perhaps for memory; use workers with more memory or smaller batches"
        ) from error


# On a worker

SHARE = "start workers in the root of the repository, in a folder that all machines share"


def _run_there(terms: Terms, task: Task) -> None:
    try:
        _check(terms)
        device = terms.devices[get_worker().name] if terms.devices else _own_device(terms.config.runtime.device)
        become(Worker(device), terms.config.model.precision)
    except ConfigError as error:
        raise ConfigError(f"worker {get_worker().address}: {error}") from error
    run_task(task)


def _own_device(name: str) -> str:
    """Device of a worker of a cluster, by the setting: of several GPUs, no worker knows which one is its own."""
    device = resolve_device(name)
    if device != "cuda":
        return device
    if (there := gpu_count()) != 1:
        raise ConfigError(f"sees {there} GPUs; start each worker with CUDA_VISIBLE_DEVICES=N, where N is its own GPU")
    return "cuda:0"


def _check(terms: Terms) -> None:
    if not Path("dvc.yaml").is_file() or not _appears(terms.folder):
        raise ConfigError(f"runs in {Path.cwd()}, which has no {terms.folder}; {SHARE}")
    if terms.library != LOADED:
        raise ConfigError("has loaded other code of sidetrip than the stage; restart the workers")
    if present_arithmetic() != terms.arithmetic:
        command = f"python -m sidetrip.runtime.arithmetic {terms.arithmetic} dask worker ..."
        raise ConfigError(f"computes with other kernels than the stage; start it with `{command}`")
    here = versions()
    for name, value in terms.versions.items():
        if here[name] != value:
            raise ConfigError(f"{name} is {here[name]} there, {value} for the stage; use workers that are all alike")
    if os.environ.get(THREADS) != terms.threads:
        raise ConfigError(f"start it with its nanny (the default), or with {THREADS}={terms.threads}")
    if get_worker().state.nthreads != 1:
        raise ConfigError("runs several units at once in one process; start workers with --nthreads 1")


def _appears(path: Path) -> bool:
    """Whether a path is there, or turns up."""
    waited_from = time.monotonic()
    while not path.exists():
        if time.monotonic() - waited_from > VISIBLE_SECONDS:
            return False
        time.sleep(0.2)
    return True
