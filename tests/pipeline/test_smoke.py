"""The smoke variant through real `dvc repro`: complete, idle the second time, the same bytes elsewhere."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sidetrip.claims.statements import STATEMENTS

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": "src", "DVC_NO_ANALYTICS": "1"}


def clone(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy what git would take into a repository of its own, with params.yaml changed."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = (folder / "params.yaml").read_text()
    for old, new in (("active: [fashion_mnist, fashion_mnist_cosine]", "active: [smoke]"), *changes):
        assert old in params
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["dvc", *arguments], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    folder = clone(tmp_path_factory.mktemp("one"))
    result = dvc(folder, "repro")
    assert result.returncode == 0, result.stderr[-2000:]
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [folder / "dvc.lock", *sorted(path for path in (folder / "reports").rglob("*") if path.is_file())]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_everything_is_there(done):
    report = done / "reports" / "smoke"
    claims = json.loads((report / "claims.json").read_text())
    assert [row["id"] for row in claims] == [statement.id for statement in STATEMENTS]
    for row in claims:
        assert {"id", "source", "statement", "value", "low", "high", "n", "criterion", "verdict"} <= row.keys()
        assert ("reason" in row) == (row["verdict"] == "not measured")
    text = (report / "README.md").read_text()
    for picture in ("figure_1", "figure_2", "figure_5"):
        assert f"(figures/{picture}.png)" in text
        assert (report / "figures" / f"{picture}.png").stat().st_size > 10_000
    assert "(smoke/README.md)" in (done / "reports" / "README.md").read_text()


def test_a_second_repro_does_nothing(done):
    before = digests(done)
    result = dvc(done, "repro")
    assert result.returncode == 0
    assert "Running stage" not in result.stdout
    assert digests(done) == before


def test_another_folder_and_number_of_workers_give_the_same_bytes(done, tmp_path):
    other = clone(tmp_path, ("workers: 0 ", "workers: 1 "))
    result = dvc(other, "repro")
    assert result.returncode == 0, result.stderr[-2000:]
    mine, theirs = digests(done), digests(other)
    # The number of workers is a setting of its own: it stands in the resolved configuration, and nowhere else.
    for each in (mine, theirs):
        del each["reports/smoke/config.yaml"], each["dvc.lock"]
    assert mine == theirs


def test_one_edit_reruns_just_what_it_touches(done):
    params = done / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("quadratic_own: 0.98", "quadratic_own: 0.97"))
    planned = dvc(done, "repro").stdout
    params.write_text(before)
    ran = [line.split("'")[1].split("@")[0] for line in planned.splitlines() if line.startswith("Running stage")]
    assert ran == ["configure", "figures", "report"]
    assert dvc(done, "repro").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ema_newest: 0.2,",
            "ema_newset: 0.2,",
            "variants.smoke.side_trips.ema_newset: unknown key; allowed in side_trips are windows",
        ),
        ("device: auto ", "device: cuda:99 ", "runtime.device = cuda:99: this machine has"),
    ],
)
def test_a_mistake_stops_before_anything_is_computed(tmp_path, old, new, message):
    folder = clone(tmp_path, (old, new))
    result = dvc(folder, "repro")
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("sidetrip:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (folder / "runs").exists()
    assert not (folder / "reports").exists()
