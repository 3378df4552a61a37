"""What a kill of DVC leaves of its own files is mended: whole and known to the committed one, or gone."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.dvcfile import Lockfile
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
def test_wherever_a_kill_cuts_the_lock_dvc_reads_it_again(checkout, length):
    if not Path("dvc.lock").exists():
        commit(WHOLE)
    cut = WHOLE[:length]
    Path("dvc.lock").write_bytes(cut)
    repair.main()
    assert Path("dvc.lock").read_bytes() in ({cut, WHOLE} if cut.endswith(b"\n") else {WHOLE})
    Lockfile(Repo("."), "dvc.lock").load()


@pytest.mark.parametrize(
    ("committed", "left", "kept", "said"),
    [
        (WHOLE, b"", [WHOLE], FROM_GIT),
        (b"", b"", [], REMOVED),
        *(
            (None, left, [], REMOVED)
            for left in (b"", bytes(100), WHOLE[:28], b"schema: '2.0'\nstages:\n", b"\xff\xfe")
        ),
    ],
)
def test_what_dvc_refuses_is_taken_from_the_last_commit_or_removed(checkout, capsys, committed, left, kept, said):
    if committed is not None:
        commit(committed)
    Path("dvc.lock").write_bytes(left)
    for line in (said, ""):
        repair.main()
        assert [path.read_bytes() for path in checkout.glob("dvc.lock")] == kept
        assert capsys.readouterr().err == line


@pytest.mark.parametrize("names", [[], ["burn_in@v"], [*STAGES, "quadratic@v"]])
def test_a_lock_that_dvc_takes_stays_whatever_stages_it_has(checkout, capsys, names):
    """A stage that was removed by hand is not put back."""
    commit(WHOLE)
    stages = {name: STAGES.get(name, {"cmd": "python"}) for name in names}
    edited = yaml.safe_dump({"schema": "2.0", "stages": stages}).encode()
    Path("dvc.lock").write_bytes(edited)
    repair.main()
    assert Path("dvc.lock").read_bytes() == edited
    assert capsys.readouterr().err == ""


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
