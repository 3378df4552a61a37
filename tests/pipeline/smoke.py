"""A repository of its own with the smoke variant, what runs in it, and what its runs leave."""

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import yaml

from sidetrip.engine import determinism

ROOT = Path(__file__).parents[2]
ACTIVE = re.compile(r"^active:\n(- .*\n)+", re.MULTILINE)
RESULTS = ("runs", "reports", "dvc.lock")


def environment(**changes: str) -> dict[str, str]:
    """Of a process in a repository: one worker a stage where a test asks for no more, since tests run side by side."""
    here = str(Path(sys.executable).parent)
    return {
        **determinism.environment(determinism.PORTABLE, os.environ),
        "PATH": f"{here}:{os.environ['PATH']}",
        "PYTHONPATH": "src",
        "DVC_NO_ANALYTICS": "1",
        "SIDETRIP_WORKERS": "1",
        **changes,
    }


def clone(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy what git would take into a repository of its own, with params.yaml changed."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True, encoding="utf-8")
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    params, found = ACTIVE.subn("active: [smoke]\n", params)
    assert found == 1, "params.yaml: write active as a list, a line for each variant"
    for old, new in changes:
        assert old in params
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def undo(folder: Path, *names: str) -> Path:
    """Make a finished pipeline one in which some stages are still to run, and nothing knows their results."""
    lock = folder / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    for name in names:
        content["stages"][f"{name}@smoke"]["cmd"] = "another"  # in its place: DVC appends what is new
        shutil.rmtree(folder / "runs" / "smoke" / name)
    lock.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    for run in (folder / ".dvc" / "cache" / "runs").glob("*/*/*"):
        if any(f"stages/{name}.py" in run.read_text(encoding="utf-8") for name in names):
            shutil.rmtree(run.parent)
    return folder


def linked(folder: Path) -> Path:
    """A root of a repository in which stages of the smoke variant run by hand, on the code that is here."""
    for name in ("dvc.yaml", "params.yaml", "src", "stages", "datasets"):
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, "stages/configure.py", "--variant", "smoke"]
    subprocess.run(command, cwd=folder, env=environment(), check=True)
    return folder


def dvc(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["dvc", *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


def start(
    folder: Path, name: str, *overrides: str, file_size: int = resource.RLIM_INFINITY, **changes: str
) -> psutil.Popen:
    """Start a stage by hand in the background, with `file_size` limiting every file that it writes."""
    return psutil.Popen(
        [sys.executable, f"stages/{name}.py", "-cd", "reports/smoke", *overrides],
        cwd=folder,
        env=environment(**changes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size)),
        encoding="utf-8",
    )


def end(process: psutil.Popen) -> tuple[int, str]:
    """Wait for a process; its exit status and what it said."""
    _, stderr = process.communicate()
    return process.returncode, stderr


def kill_with_children(processes: Iterable[subprocess.Popen]) -> None:
    """End processes of a cluster: asked to end, each would wait for the others."""
    for process in processes:
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            each.kill()
        process.wait()


def said(stderr: str) -> list[str]:
    """What a stage says about itself; the rest is progress."""
    return [line for line in stderr.splitlines() if line.startswith("sidetrip:")]


def wait_until(condition: Callable[[], object], process: psutil.Popen) -> None:
    """Wait for something that a process does before it ends."""
    while not condition():
        assert process.poll() is None, f"it ended before: {process.communicate()[1]}"
        time.sleep(0.02)


def digests(folder: Path, *parts: str) -> dict[str, str]:
    """Digest of every file of the parts (files or folders) of a repository."""
    files = []
    for part in map(folder.joinpath, parts):
        files += [path for path in part.rglob("*") if path.is_file()] if part.is_dir() else [part]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def compare(one: Path, other: Path) -> list[str]:
    """Files of the results that two repositories do not share byte by byte."""
    pairs = set(digests(one, *RESULTS).items()) ^ set(digests(other, *RESULTS).items())
    return sorted({name for name, _ in pairs})
