"""The smoke variant on other workers and in other clones: the same bytes, or nothing to run."""

import pickle
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from helpers import smoke_config
from smoke import compare, dvc, end, environment, kill_with_children, start, wait_until

from sidetrip.config import load_params, resolve
from sidetrip.experiments.registry import plans
from sidetrip.planning import storage

CLUSTER = {"SIDETRIP_EXECUTOR": "dask", "SIDETRIP_DASK_SCHEDULER_FILE": "scheduler.json"}


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
        kill_with_children(reversed(started))


def test_units_of_every_stage_travel():
    """As to the process pool, so to a cluster."""
    for plan in plans():
        assert all(pickle.loads(pickle.dumps(unit)) == unit for unit in plan.units(smoke_config()))


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(done, copy):
    name = "side_trips"
    shutil.rmtree(copy / "runs" / "smoke" / name)
    with workers(copy, 2) as (first, _):
        stage = start(copy, name, **CLUSTER)
        wait_until(lambda: list((copy / "scratch" / "smoke" / name).glob("*/.*unit_*")), stage)
        victim = psutil.Process(first.pid)
        for process in (victim, *victim.children()):  # the nanny, and its worker
            process.kill()
        status, stderr = end(stage)
    assert status == 0, stderr
    assert "Dask workers at" in stderr
    assert compare(done, copy) == []


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


def test_a_clone_that_pulls_has_nothing_to_run(copy, tmp_path):
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "add", "--all"], cwd=copy, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=results"], cwd=copy, check=True)
    use_remote(copy, tmp_path / "remote")
    pushed = dvc(copy, "push")
    assert pushed.returncode == 0, pushed.stderr

    other = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(copy), str(other)], check=True)
    use_remote(other, tmp_path / "remote")
    pulled = dvc(other, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert compare(copy, other) == []
    again = dvc(other, "repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage" not in again.stdout
    assert not subprocess.check_output(["git", "status", "--porcelain"], cwd=other)
