"""Units on Dask workers: the results of the process pool, whatever happens to workers; what does not suit is a line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cluster_units
import dask
import psutil
import pytest
import torch
from smoke import kill_with_children

from sidetrip.config import ConfigError, Runtime, load_params, resolve
from sidetrip.engine.determinism import present_arithmetic
from sidetrip.files import files_in
from sidetrip.runtime import cluster
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.provenance import versions
from sidetrip.runtime.scratch import open_scratch, unit_folders

ROOT = Path(__file__).parents[2]
CONFIG = resolve(load_params(ROOT / "params.yaml"), "smoke")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root of a repository in which a stage that needs no input can run."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("dvc.yaml", "src", "stages"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def repository(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    places = ("src", "tests", "tests/pipeline", "tests/runtime")
    monkeypatch.setenv("PYTHONPATH", ":".join(str(ROOT / place) for place in places))
    yield root
    for made in ("scratch", "processes"):
        shutil.rmtree(root / made, ignore_errors=True)
    (root / "scheduler.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def pooled(root):
    """What units leave that ran on the process pool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        found = results(cluster_units.where)
    shutil.rmtree(root / "processes")
    return found


def results(function, units=(0, 1, 2, 3), **runtime) -> dict[str, bytes]:
    """Contents of the results that units leave, by place."""
    config = replace(CONFIG, runtime=Runtime(**{**vars(CONFIG.runtime), "workers": 2, **runtime}))
    with open_scratch(config, "quadratic") as scratch:
        folders = [unit_folders(scratch.folder, f"unit_{unit}") for unit in units]
        run_units(function, units, [1] * len(units), config, "test", folders, "unit")
        found = {str(path.relative_to(scratch.folder)): path.read_bytes() for path in files_in(scratch.folder)}
        shutil.rmtree(scratch.folder)
    return found


@contextmanager
def a_cluster(*workers: tuple[Path, tuple[str, ...]]):
    """Address of a scheduler with workers, each of a folder and arguments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, port = address.split(":")
    dask, options = [sys.executable, "-m", "dask"], ["--no-dashboard"]
    processes = [subprocess.Popen([*dask, "scheduler", "--host", host, "--port", port, *options])]
    Path("scheduler.pid").write_text(str(processes[0].pid), encoding="utf-8")
    try:
        for folder, arguments in workers:
            command = [*dask, "worker", address, "--host", host, *options, *(arguments or ("--nthreads", "1"))]
            processes.append(subprocess.Popen(command, cwd=folder))
        yield address
    finally:
        kill_with_children(reversed(processes))


def test_workers_of_this_machine_give_the_results_of_the_process_pool_though_one_is_killed_and_end(repository, pooled):
    assert results(cluster_units.where_after_a_loss, executor="dask") == pooled
    there = [int(path.name) for path in Path("processes").iterdir()]
    assert there
    assert os.getpid() not in there
    assert not any(psutil.pid_exists(process) for process in there)


def test_a_unit_that_kills_every_worker_is_given_up(repository):
    message = r"^runtime.executor = dask: 1 workers in a row were lost in the same unit, perhaps for memory"
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), pytest.raises(ConfigError, match=message):
        results(cluster_units.crashing, [0], executor="dask")


def test_workers_of_a_cluster(repository, pooled):
    """The results of the process pool; a unit's refusal is the stage's; a GPU is asked of who has one; one ending."""
    plain, with_gpu = (repository, ()), (repository, ("--nthreads", "1", "--resources", "GPU=1"))
    with a_cluster(plain, with_gpu) as address:
        assert results(cluster_units.where, executor="dask", dask_address=address) == pooled
        with pytest.raises(ConfigError, match=r"^unit \d = bad: use another$"):
            results(cluster_units.refused, executor="dask", dask_address=address)
        if not torch.cuda.is_available():
            message = r"^worker tcp://\S+: runtime.device = cuda: this machine has 0 CUDA device"
            with pytest.raises(ConfigError, match=message):
                results(cluster_units.where, executor="dask", dask_address=address, device="cuda")
        with pytest.raises(ConfigError, match=r"^runtime.executor = dask: the scheduler is gone"):
            results(cluster_units.scheduler_killer, executor="dask", dask_address=address)


def test_what_a_stage_without_workers_waits_for_and_a_scheduler_that_ends_are_a_line_each(repository):
    with a_cluster() as address:
        settings = f'executor="dask", device="cuda", dask_address="{address}"'
        script = f"""if __name__ == "__main__":
            import cluster_units, test_cluster
            from sidetrip.console import command
            with command(): test_cluster.results(cluster_units.where, {settings})"""
        stage = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, encoding="utf-8")
        line = next(line for line in stage.stderr if "waiting" in line)
        os.kill(int(Path("scheduler.pid").read_text(encoding="utf-8")), signal.SIGKILL)
        _, stderr = stage.communicate()
    assert f"`dask worker tcp://{address} --nthreads 1 --resources GPU=1`" in line
    assert stage.returncode == 2
    assert [line for line in stderr.splitlines() if line and "0/4 [" not in line] == [
        "sidetrip: runtime.executor = dask: the scheduler is gone; start it and its workers again, and run again: "
        "what is finished is kept"
    ]


def test_a_worker_of_another_environment_is_refused(repository, tmp_path):
    (tmp_path / "sidetrip.py").touch()  # found first
    expected = r"^worker tcp://\S+: cannot import sidetrip; start it in the environment that the stage runs in"
    with a_cluster((tmp_path, ())) as address, pytest.raises(ConfigError, match=expected):
        results(cluster_units.where, executor="dask", dask_address=address)


FILE = {"dask_scheduler_file": "scheduler.json"}


@pytest.mark.parametrize(
    ("where", "content", "message"),
    [
        ({"dask_address": "127.0.0.1:1"}, "", "no Dask scheduler answers there; start one"),  # nobody listens
        ({"dask_address": "tls://here:1"}, "", "certificates are missing; name them"),
        ({"dask_scheduler_file": "none"}, "", r"cannot be read \(No such file or directory\); start the scheduler"),
        (FILE, "{}", "holds no address; start the scheduler with --scheduler-file and this path"),
        (FILE, "\x00", "holds no address"),
        (FILE, '{"address": "nonsense://x"}', "no Dask scheduler answers there"),
    ],
)
def test_an_address_or_a_file_that_leads_nowhere_is_one_line(repository, monkeypatch, where, content, message):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    Path("scheduler.json").write_text(content, encoding="utf-8")
    ((key, value),) = where.items()
    with pytest.raises(ConfigError, match=f"^runtime.{key} = {value}: {message}"):
        results(cluster_units.where, executor="dask", **where)


def test_without_dask_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "sidetrip.runtime.cluster")
    with pytest.raises(
        ConfigError, match=r"^runtime.executor = dask: needs Dask; run pip install 'sidetrip\[cluster\]'$"
    ):
        import sidetrip.runtime.cluster  # noqa: F401


# What a worker has to have in common with the stage


@pytest.fixture
def worker(repository, monkeypatch):
    """This process as a worker of one thread, and the terms that it meets."""
    found = SimpleNamespace(address="tcp://here:1", state=SimpleNamespace(nthreads=1))
    monkeypatch.setattr(cluster, "get_worker", lambda: found)
    monkeypatch.setattr(cluster, "VISIBLE_SECONDS", 0.0)
    Path("scratch").mkdir()
    terms = cluster.Terms(CONFIG, Path("scratch"), versions(), cluster.LOADED, "1", present_arithmetic(), ())
    return found, terms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": Path("scratch/other")}, "which has no scratch/other; start workers in the root of the repository"),
        ({"library": ""}, "has loaded other code of sidetrip than the stage; restart the workers"),
        ({"versions": {"torch": "1.0"}}, "torch is .* there, 1.0 for the stage; use workers that are all alike"),
        ({"threads": "3"}, "start it with its nanny"),
        ({"arithmetic": "native"}, "start it with `python -m sidetrip.runtime.arithmetic native dask worker ...`"),
    ],
)
def test_a_worker_that_differs_is_refused(worker, changes, message):
    cluster._check(worker[1])
    with pytest.raises(ConfigError, match=message):
        cluster._check(replace(worker[1], **changes))
    worker[0].state.nthreads = 2
    with pytest.raises(ConfigError, match="start workers with --nthreads 1"):
        cluster._check(worker[1])


def test_an_edited_library_is_other_code(tmp_path, monkeypatch):
    assert cluster._library() == cluster.LOADED
    monkeypatch.setattr(cluster, "LIBRARY", tmp_path)
    (tmp_path / "kernels.py").touch()
    before = cluster._library()
    (tmp_path / "kernels.py").write_text("1", encoding="utf-8")
    assert cluster._library() != before


def test_no_gpu_is_asked_for_of_workers_of_this_machine():
    """Which have one each; of a cluster's: test_what_a_stage_without_workers_waits_for_..."""
    assert cluster._needs(replace(CONFIG.runtime, device="cuda", executor="dask")) == {}
