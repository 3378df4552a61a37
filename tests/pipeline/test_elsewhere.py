"""The smoke variant on other workers and in other clones: the same bytes, or nothing to run."""

import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from smoke import clone, digests, dvc, environment

from sidetrip.config import load_params, resolve
from sidetrip.planning import storage

RESULTS = ("runs", "reports", "dvc.lock")


@contextmanager
def workers(folder: Path, number: int):
    """A scheduler and workers in a repository; yields their processes."""
    command = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", "scheduler.json"]
    started = [subprocess.Popen([*command, "scheduler", "--port", "0", *here], cwd=folder, env=environment())]
    try:
        while not (folder / "scheduler.json").exists():
            assert started[0].poll() is None
            time.sleep(0.1)
        for _ in range(number):
            line = [*command, "worker", "--nthreads", "1", *here]
            started.append(subprocess.Popen(line, cwd=folder, env=environment()))
        yield started[1:]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def kill_in_the_middle(repro: psutil.Popen, stage: str, victims: list[int], folder: Path) -> None:
    """Kill processes once a unit of a stage is under way and has left something."""
    while not list((folder / "scratch" / "smoke" / stage).glob("*/.*unit_*")):
        assert repro.poll() is None, "the stage was through before a unit was seen"
        time.sleep(0.01)
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(victim).kill()


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(done, tmp_path):
    folder = clone(tmp_path)
    settings = {"SIDETRIP_EXECUTOR": "dask", "SIDETRIP_DASK_SCHEDULER_FILE": "scheduler.json"}
    with workers(folder, 2) as (first, _):
        repro = psutil.Popen(["dvc", "repro"], cwd=folder, env=environment(**settings), stderr=subprocess.PIPE)
        nanny = psutil.Process(first.pid)
        kill_in_the_middle(repro, "side_trips", [nanny.pid, *(child.pid for child in nanny.children())], folder)
        _, said = repro.communicate()
        assert repro.returncode == 0, said[-2000:]
    assert digests(folder, *RESULTS) == digests(done, *RESULTS)


def test_the_cache_is_as_large_as_planned(done):
    planned = storage(resolve(load_params(done / "params.yaml"), "smoke"))
    runs = done / "runs" / "smoke"

    def size(pattern: str) -> int:
        return sum(path.stat().st_size for path in runs.glob(pattern))

    assert size("burn_in/seed_*/*.safetensors") == planned["snapshots"]
    assert size("branch/seed_*/*.safetensors") == planned["branch points"]
    assert size("prepare_data/*/*.safetensors") == pytest.approx(planned["pictures"], rel=0.001)


def use_remote(folder: Path, remote: Path) -> None:
    assert dvc(folder, "remote", "add", "--local", "--default", "results", str(remote)).returncode == 0


def test_a_clone_that_pulls_has_nothing_to_run(done, tmp_path):
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "add", "--all"], cwd=done, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=results"], cwd=done, check=True)
    use_remote(done, tmp_path / "remote")
    pushed = dvc(done, "push")
    assert pushed.returncode == 0, pushed.stderr

    other = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(done), str(other)], check=True)
    use_remote(other, tmp_path / "remote")
    pulled = dvc(other, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert digests(other, *RESULTS) == digests(done, *RESULTS)
    again = dvc(other, "repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage" not in again.stdout
    assert not subprocess.check_output(["git", "status", "--porcelain"], cwd=other)
