"""Killed, out of room, damaged, in a second copy: the pipeline loses nothing and ends with the same bytes."""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from smoke import ROOT, digests, dvc, environment
from torture import RESULTS, disturb

from sidetrip.files import SUMS

KILLS = 10


def stage(folder: Path, name: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Run a stage by hand, with `file_size` limiting every file that it writes."""
    size = limits.get("file_size", resource.RLIM_INFINITY)
    return subprocess.run(
        [sys.executable, f"stages/{name}.py", "-cd", "reports/smoke"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def said(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("sidetrip:")]


@pytest.fixture
def copy(done, tmp_path) -> Path:
    """A finished pipeline to spoil."""
    return Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))


def test_kills_change_nothing(done, tmp_path):
    """SIGKILL of dvc, stages and workers, at random moments of every stage."""
    seed = random.randrange(2**32)
    random.seed(seed)
    assert disturb(done, tmp_path, KILLS, seconds=2.0) == [], f"seed {seed}"


@pytest.mark.parametrize(("name", "size"), [("burn_in", 4_000), ("side_trips", 2_000), ("report", 4_000)])
def test_a_full_disk_is_one_line_and_a_rerun_completes(done, copy, name, size):
    before = digests(copy, *RESULTS)
    result = stage(copy, name, file_size=size)
    assert result.returncode == 2
    assert len(said(result)) == 1, result.stderr
    assert "cannot be written (" in said(result)[0]
    assert "File too large" in said(result)[0]
    assert said(result)[0].endswith("make room or set its permissions, and run again: what is finished is kept")
    assert digests(copy, *RESULTS) == before
    assert stage(copy, name).returncode == 0
    assert digests(copy, *RESULTS) == before


def test_a_second_writer_is_refused_while_the_first_runs(copy):
    first = subprocess.Popen(
        [sys.executable, "stages/side_trips.py", "-cd", "reports/smoke"],
        cwd=copy,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = copy / "scratch" / "smoke" / "side_trips" / "lock"
    try:
        while not (lock.exists() and lock.read_text() == str(first.pid)):
            assert first.poll() is None
            time.sleep(0.02)
        os.kill(first.pid, 19)  # stopped, it holds its lock for as long as it takes
        result = stage(copy, "side_trips")
    finally:
        os.kill(first.pid, 18)
        assert first.wait() == 0
    assert result.returncode == 2
    lines = said(result)
    assert lines[0] == f"sidetrip: waiting for process {first.pid}, which is still running this stage"
    assert lines[1].endswith(f"process {first.pid} is still running this stage; wait for it, or end it, and run again")


def test_workers_end_with_their_stage(copy):
    process = psutil.Popen(
        [sys.executable, "stages/side_trips.py", "-cd", "reports/smoke"],
        cwd=copy,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(workers := process.children(recursive=True)) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


@pytest.mark.parametrize(
    ("stage_name", "file"),
    [
        ("burn_in", "runs/smoke/prepare_data/train/shard_00000.safetensors"),
        ("branch", "runs/smoke/burn_in/seed_1/step_000015.safetensors"),
        ("fixed_batch", "runs/smoke/single_step/single_step.csv"),
        ("side_trips", "runs/smoke/prepare_data/facts.json"),
        ("figures", "runs/smoke/quadratic/lemma_1.csv"),
        ("report", "reports/smoke/claims.json"),
        ("branch", f"runs/smoke/burn_in/{SUMS}"),
        ("single_step", "reports/smoke/config.yaml"),
    ],
)
def test_a_damaged_input_is_named(copy, stage_name, file):
    path = copy / file
    content = bytearray(path.read_bytes())
    # In a list of digests, that of a file which the stage reads: a flip elsewhere in it is harmless.
    content[content.index(b"seed_0/step_000015") - 9 if path.name == SUMS else len(content) // 2] ^= 1
    path.write_bytes(content)
    before = digests(copy, *RESULTS)
    result = stage(copy, stage_name)
    assert result.returncode == 2
    assert len(said(result)) == 1, result.stderr
    assert "damaged" in said(result)[0]
    assert str(path.relative_to(copy).parent) in said(result)[0]
    assert digests(copy, *RESULTS) == before


def test_a_missing_input_is_named_with_the_stage_that_makes_it(copy):
    shutil.rmtree(copy / "runs" / "smoke" / "branch")
    result = stage(copy, "single_step")
    assert result.returncode == 2
    assert said(result) == ["sidetrip: runs/smoke/branch: not there; run `dvc repro branch@smoke`, which makes it"]


def test_code_that_changes_under_way_spoils_no_result(copy):
    before = digests(copy, *RESULTS)
    process = subprocess.Popen(
        [sys.executable, "stages/side_trips.py", "-cd", "reports/smoke"],
        cwd=copy,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    scratch = copy / "scratch" / "smoke" / "side_trips"
    while not list(scratch.glob("*/unit_*")):
        assert process.poll() is None
        time.sleep(0.05)
    with (copy / "src" / "sidetrip" / "averaging.py").open("a") as file:
        file.write("\n# edited\n")
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert "sidetrip: stage side_trips: its code changed while it ran, so its results are dropped; run" in stderr
    assert digests(copy, *RESULTS) == before


def test_scratch_of_other_settings_is_not_picked_up(copy):
    """A killed run leaves its units; a run with other settings makes its own, and leaves those alone."""
    process = subprocess.Popen(
        [sys.executable, "stages/side_trips.py", "-cd", "reports/smoke", "side_trips.ema_newest=0.3"],
        cwd=copy,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    scratch = copy / "scratch" / "smoke" / "side_trips"
    while not list(scratch.glob("*/unit_0000?")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    (other,) = [path for path in scratch.iterdir() if path.is_dir()]
    before = digests(copy, *RESULTS)
    assert stage(copy, "side_trips").returncode == 0
    assert digests(copy, *RESULTS) == before
    assert other.is_dir()


def test_committed_results_are_those_of_the_committed_code():
    """Nothing of the active variants is older than the code or the settings that make it."""
    result = dvc(ROOT, "repro", "--dry", "--allow-missing")
    stale = [line for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert stale == [], "run `make repro` and commit dvc.lock and reports/"
    assert result.returncode == 0, result.stderr
