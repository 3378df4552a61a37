"""Killed, out of room, damaged, in a second copy: the pipeline loses nothing and ends with the same bytes."""

import hashlib
import itertools
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from smoke import RESULTS, ROOT, compare, digests, dvc, end, environment, said, start, undo, wait_until
from torture import LOCK, LONGEST, WORKERS, disturb

from sidetrip.files import SUMS

STRIKES, LOCKS = 3, 1
BY_HAND = ("-cd", "reports/smoke")
SEVERAL = "fixed_batch"  # a short stage of several units
STRUCK = ("burn_in", "divergence", "quadratic")  # saves on the way, units in parts, no network; the torture takes all


def repeated(folder: Path) -> Path:
    """As the runs that are killed, without the kills."""
    assert dvc(folder, "repro", SIDETRIP_WORKERS=WORKERS).returncode == 0
    return folder


def test_interruptions_another_folder_and_more_workers_change_nothing(done, tmp_path):
    """Of dvc, stages and workers, and of dvc as it writes dvc.lock, in every way; `done` had one worker a stage."""
    seed = random.randrange(2**32)
    random.seed(seed)

    def fresh(round_: int) -> Path:
        return undo(Path(shutil.copytree(done, tmp_path / f"disturbed_{round_}", symlinks=True)), *STRUCK)

    differing, struck = disturb(done, fresh, STRUCK, STRIKES, LOCKS, seconds=2.0)
    assert sum(times for (victim, _), times in struck.items() if victim == LOCK) >= LOCKS
    assert differing == [], f"seed {seed}; without any kill, these differ: {compare(done, repeated(fresh(-1)))}"


@pytest.fixture
def here(copy, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """Runs a script in the copy, in this process, which has loaded all that a new one would: its status and words."""

    def run(script: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(copy)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        capsys.readouterr()
        status = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            status = int(ended.code or 0)
        found = capsys.readouterr()
        return status, found.out + found.err

    return run


def test_a_full_disk_is_one_line_and_a_rerun_completes(copy):
    before = digests(copy, *RESULTS)
    status, stderr = end(start(copy, "burn_in", file_size=4_000))
    assert status == 2
    (line,) = said(stderr)
    assert "cannot be written (" in line
    assert "File too large" in line
    assert line.endswith("make room or set its permissions, and run again")
    assert digests(copy, *RESULTS) == before
    assert end(start(copy, "burn_in"))[0] == 0
    assert digests(copy, *RESULTS) == before


@pytest.mark.parametrize("goes_away", [True, False])
def test_nobody_need_read_what_a_stage_says(lasting, goes_away):
    """Its reader goes away after a character, or the disk behind it is full."""
    read, write = os.pipe()
    with open("/dev/full", "wb") as full:
        said_to = write if goes_away else full
        command = [sys.executable, f"stages/{SEVERAL}.py", "-cd", "reports/smoke"]
        stage = psutil.Popen(command, cwd=lasting, env=environment(), stdout=said_to, stderr=said_to)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    try:
        assert stage.wait(timeout=LONGEST) == 0
    finally:
        with suppress(psutil.NoSuchProcess):
            stage.kill()


def test_a_second_writer_is_refused_while_the_first_runs(copy, here, monkeypatch):
    first = start(copy, "branch")
    lock = copy / "scratch" / "smoke" / "branch" / "lock"
    wait_until(lambda: any(path.is_dir() for path in lock.parent.glob("*")), first)  # made under the lock
    first.suspend()  # stopped, it holds its lock for as long as it takes
    monkeypatch.setattr("sidetrip.runtime.scratch.PATIENCE", 0.5)
    try:
        second, stderr = here("stages/branch.py", *BY_HAND)
    finally:
        first.resume()
        status, _ = end(first)
    assert (status, second) == (0, 2)
    waiting, refused = said(stderr)
    assert waiting == "sidetrip: waiting for another process that is still running this stage"
    assert refused.endswith("another process is still running this stage; wait for it, or end it, and run again")


def test_one_signal_ends_a_stage_and_its_workers_and_loses_nothing(lasting):
    name = "side_trips"  # five units for two workers: some are left whenever the two signals come
    units = lasting / "scratch" / "smoke" / name
    for number in (signal.SIGINT, signal.SIGTERM):
        kept = set(units.glob("*/unit_0000?"))
        stage = start(lasting, name, SIDETRIP_WORKERS="2")
        wait_until(lambda kept=kept: set(units.glob("*/unit_0000?")) - kept, stage)
        workers = stage.children(recursive=True)
        # A Ctrl-C goes to all processes of a terminal.
        for process in [stage, *workers] if number == signal.SIGINT else [stage]:
            with suppress(psutil.NoSuchProcess):  # it has ended with its stage
                process.send_signal(number)
        _, stderr = stage.communicate(timeout=LONGEST)
        assert stage.returncode == 128 + number
        _, alive = psutil.wait_procs(workers, timeout=LONGEST)
        assert alive == []
        (line,) = said(stderr)
        by = signal.Signals(number).name
        assert line == (
            f"sidetrip: stage {name} was stopped by {by}; what is finished is kept, run the same command to go on"
        )
        assert "Traceback" not in stderr
        assert "warn" not in stderr
        assert kept < set(units.glob("*/unit_0000?"))
    assert end(start(lasting, name))[0] == 0


def test_an_interrupt_while_torch_is_loaded_is_one_line(copy):
    stage = start(copy, SEVERAL)

    def loading() -> list[psutil.Process]:
        return [child for child in stage.children() if any("forkserver" in part for part in child.cmdline())]

    wait_until(loading, stage)
    time.sleep(random.uniform(0, 0.5))
    for process in [*stage.children(recursive=True), stage]:
        process.send_signal(signal.SIGINT)
    status, stderr = end(stage)
    assert status == 128 + signal.SIGINT
    told = [line for line in stderr.splitlines() if line and not line.startswith(f"{SEVERAL}, stage ")]
    assert told == said(stderr)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("stage_name", "file", "by_a_worker"),
    [
        ("burn_in", "runs/smoke/prepare_data/train/shard_00000.safetensors", True),
        ("fixed_batch", "runs/smoke/branch/seed_1/step_000020.safetensors", True),
        ("report", "runs/smoke/prepare_data/facts.json", False),
        ("verdicts", "runs/smoke/quadratic/lemma_1.csv", False),
        ("report", "runs/smoke/verdicts/claims.json", False),
        ("branch", f"runs/smoke/burn_in/{SUMS}", True),
        ("single_step", "reports/smoke/config.yaml", False),
    ],
)
def test_a_damaged_input_is_named(copy, here, stage_name, file, by_a_worker):
    path = copy / file
    content = bytearray(path.read_bytes())
    # In a list of digests, that of a file which the stage reads: a flip elsewhere in it is harmless.
    content[content.index(b"seed_0/step_000020") - 9 if path.name == SUMS else len(content) // 2] ^= 1
    path.write_bytes(content)
    before = digests(copy, *RESULTS)
    status, stderr = end(start(copy, stage_name)) if by_a_worker else here(f"stages/{stage_name}.py", *BY_HAND)
    assert status == 2
    (line,) = said(stderr)
    assert "damaged" in line
    assert str(path.relative_to(copy).parent) in line
    assert digests(copy, *RESULTS) == before


def spoil(path: Path) -> None:
    """Turn one bit, as a disk does: nothing else of the file changes."""
    mode, content = path.stat().st_mode, bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def test_a_bit_that_has_gone_bad_in_the_cache_is_found_and_the_remedies_that_are_printed_mend_it(copy, here):
    before, folder = digests(copy, *RESULTS), copy / "runs" / "smoke" / SEVERAL
    check = "src/sidetrip/check.py"
    assert here(check)[0] == 0
    table = folder / f"{SEVERAL}.csv"
    md5 = hashlib.md5(table.read_bytes()).hexdigest()
    spoil(copy / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:])
    shutil.rmtree(folder)
    assert dvc(copy, "checkout", f"{SEVERAL}@smoke").returncode == 0
    spoil(copy / "reports" / "smoke" / "claims.json")
    status, told = here(check)
    assert status == 1
    for line, named in zip(told.splitlines(), (md5[2:], table.name, "claims.json"), strict=True):
        assert named in line
        assert "damaged" in line
    remedies = [re.findall("`(.*?)`", line) for line in told.splitlines()]
    assert remedies[1] == [f"dvc repro --force --single-item {SEVERAL}@smoke"]
    for remedy in itertools.chain(remedies[0][:1], *remedies[1:], ["dvc repro"]):
        if not remedy.startswith("git"):  # there is no commit here
            subprocess.run(remedy, shell=True, cwd=copy, env=environment(), check=True, capture_output=True)
    assert here(check)[0] == 0
    assert digests(copy, *RESULTS) == before


def test_a_missing_input_is_named_with_the_stage_that_makes_it(copy, here):
    shutil.rmtree(copy / "runs" / "smoke" / "branch")
    status, stderr = here("stages/single_step.py", *BY_HAND)
    assert status == 2
    assert said(stderr) == ["sidetrip: runs/smoke/branch: not there; run `dvc repro branch@smoke`, which makes it"]


def test_code_that_changes_under_way_spoils_no_result(lasting):
    stage = start(lasting, SEVERAL)
    scratch = lasting / "scratch" / "smoke" / SEVERAL
    wait_until(lambda: list(scratch.glob("*/unit_*")), stage)
    with (lasting / "src" / "sidetrip" / "engine" / "training.py").open("a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    status, stderr = end(stage)
    assert status == 2
    assert f"sidetrip: stage {SEVERAL}: its code changed while it ran, so its results are dropped; run" in stderr


def test_a_killed_stage_ends_its_workers_and_what_it_leaves_is_not_for_other_settings(lasting):
    """A run with other settings makes its own units, and leaves those alone."""
    stage = start(lasting, SEVERAL, "fixed_batch.widest=3", SIDETRIP_WORKERS="2")
    scratch = lasting / "scratch" / "smoke" / SEVERAL
    wait_until(lambda: list(scratch.glob("*/unit_0000?")), stage)
    workers = stage.children(recursive=True)
    assert len(workers) >= 2
    stage.kill()
    stage.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    (other,) = [path for path in scratch.iterdir() if path.is_dir()]
    assert end(start(lasting, SEVERAL))[0] == 0
    assert other.is_dir()


def test_committed_results_are_those_of_the_committed_code():
    """Nothing of the active variants is older than the code or the settings that make it."""
    result = dvc(ROOT, "repro", "--dry", "--allow-missing")
    stale = [line for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert stale == [], "run `make repro` and commit dvc.lock and reports/"
    assert result.returncode == 0, result.stderr
