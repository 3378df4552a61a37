"""What a kill of DVC leaves of its own files is mended: whole and known to the committed one, or gone."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidetrip import repair

ROOT = Path(__file__).parents[1]
STAGES = {
    f"{name}@v": {"cmd": f"python {name}", "deps": [{"path": "a", "hash": "md5", "md5": 32 * "0", "size": 1}]}
    for name in ("configure", "burn_in", "branch", "gone")
}
WHOLE = yaml.safe_dump({"schema": "2.0", "stages": STAGES}, sort_keys=False).encode()
FROM_GIT = (
    "sidetrip: dvc.lock was cut off by a kill: taken from the last commit; what is finished comes from DVC's cache\n"
)
REMOVED = "sidetrip: dvc.lock was cut off by a kill: removed; what is finished comes from DVC's cache\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A checkout without a commit."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "config").touch()
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    return tmp_path


def commit(lock: bytes) -> None:
    Path("dvc.lock").write_bytes(lock)
    subprocess.run(["git", "add", "dvc.lock"], check=True)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *who, "commit", "--quiet", "--message=lock"], check=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(length=st.integers(0, len(WHOLE) - 1))
def test_wherever_a_kill_cuts_the_committed_lock_no_stage_of_the_pipeline_is_lost(checkout, length):
    if not Path("dvc.lock").exists():
        commit(WHOLE)
    Path("dvc.lock").write_bytes(WHOLE[:length])
    repair.main()
    found = yaml.safe_load(Path("dvc.lock").read_bytes())["stages"]
    assert set(found) >= {"configure@v", "burn_in@v", "branch@v"}


def test_an_empty_lock_is_taken_from_the_last_commit(checkout, capsys):
    commit(WHOLE)
    Path("dvc.lock").write_bytes(b"")
    repair.main()
    assert Path("dvc.lock").read_bytes() == WHOLE
    assert capsys.readouterr().err == FROM_GIT
    repair.main()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("left", [b"", b"\0" * 100, WHOLE[:28], b"schema: '2.0'\nstages:\n", b"\xff\xfe"])
def test_without_a_commit_what_dvc_refuses_is_removed(checkout, capsys, left):
    Path("dvc.lock").write_bytes(left)
    repair.main()
    assert not Path("dvc.lock").exists()
    assert capsys.readouterr().err == REMOVED


def test_a_lock_that_was_committed_empty_is_no_better(checkout, capsys):
    commit(b"")
    repair.main()
    assert not Path("dvc.lock").exists()
    assert capsys.readouterr().err == REMOVED


def test_a_lock_with_more_than_the_committed_one_stays(checkout, capsys):
    commit(WHOLE)
    more = yaml.safe_dump({"schema": "2.0", "stages": {**STAGES, "quadratic@v": {"cmd": "python"}}}).encode()
    Path("dvc.lock").write_bytes(more)
    repair.main()
    assert Path("dvc.lock").read_bytes() == more
    assert capsys.readouterr().err == ""


def test_a_stage_that_the_pipeline_no_longer_has_may_be_missing(checkout, capsys):
    commit(WHOLE)
    fewer = yaml.safe_dump({"schema": "2.0", "stages": {k: v for k, v in STAGES.items() if k != "gone@v"}}).encode()
    Path("dvc.lock").write_bytes(fewer)
    repair.main()
    assert Path("dvc.lock").read_bytes() == fewer


@pytest.mark.parametrize("left", ["", '{"read": {', "\0\0"])
def test_the_list_of_users_is_removed_where_dvc_refuses_it(checkout, capsys, left):
    users = Path(".dvc/tmp/rwlock")
    users.write_text(left, encoding="utf-8")
    repair.main()
    assert not users.exists()
    assert capsys.readouterr().err == ("sidetrip: .dvc/tmp/rwlock was cut off by a kill: removed, DVC makes it anew\n")
    users.write_text('{"read": {}, "write": {}}', encoding="utf-8")
    repair.main()
    assert users.exists()


def test_while_another_dvc_is_at_work_nothing_is_touched(checkout, capsys):
    Path("dvc.lock").write_bytes(b"")
    with Repo(".").lock:
        repair.main()
    assert Path("dvc.lock").read_bytes() == b""
    assert capsys.readouterr().err == ""
