"""Attempts at one unit, of which an earlier one may have been given up for lost and yet be alive."""

from pathlib import Path

import pytest
from helpers import smoke_config

from sidetrip.files import FileError, UnitFolders
from sidetrip.runtime.provenance import code_digest, inputs, sources
from sidetrip.runtime.scratch import Scratch, unit_folders
from sidetrip.runtime.stage import publishing
from sidetrip.runtime.units import Task, run_task


def attempt(folders: UnitFolders, during=lambda: None) -> list[str]:
    """An attempt that adds to the progress it finds, which is returned; something happens before it finishes."""
    seen: list[str] = []

    def unit(_, mine: UnitFolders):
        mine.progress.mkdir(parents=True, exist_ok=True)
        seen.extend(sorted(path.name for path in mine.progress.iterdir()))
        (mine.progress / "step").touch()
        during()
        (mine.result / "result.txt").write_text("the same bytes", encoding="utf-8")
        return {}

    run_task(Task(unit, None, folders, 1))
    return seen


def folders_in(folder: Path) -> UnitFolders:
    return unit_folders(folder, "unit_00000")


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


WHOLE = {"unit_00000/result.txt", "unit_00000/provenance.json", "unit_00000/SHA256SUMS"}


def test_a_second_attempt_takes_over_the_progress_and_both_may_finish(tmp_path):
    folders, seen = folders_in(tmp_path), []
    attempt(folders, during=lambda: seen.extend(attempt(folders)))
    assert seen == ["step"]
    assert contents(tmp_path) == WHOLE


def test_progress_of_a_failed_attempt_is_kept(tmp_path):
    folders = folders_in(tmp_path)

    def fail() -> None:
        raise FileError("no room")

    with pytest.raises(FileError, match="no room"):
        attempt(folders, during=fail)
    assert not folders.result.exists()
    assert attempt(folders) == ["step"]
    assert contents(tmp_path) == WHOLE


def test_a_finished_unit_is_not_run_again(tmp_path):
    folders, again = folders_in(tmp_path), []
    attempt(folders)
    attempt(folders, during=lambda: again.append(True))
    assert again == []


def test_a_stage_that_is_not_in_dvc_yaml_is_one_line():
    with pytest.raises(FileError, match=r"^dvc.yaml: no stage another; add it, with its deps, params and outs$"):
        inputs("another", "smoke")


def test_what_a_killed_process_left_beside_a_result_goes_when_the_stage_is_finished(tmp_path, monkeypatch):
    """But not what another stage is writing."""
    for name in ("dvc.yaml", "src", "stages", "datasets"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs" / "smoke"
    for left in (".a.1.branch", ".a.1.former.branch", ".a.2.burn_in"):
        (runs / left).mkdir(parents=True)
    scratch = Scratch(tmp_path / "scratch", code_digest(sources("branch", "smoke")))
    with publishing(smoke_config(), "branch", scratch) as folder:
        (folder / "result.txt").write_text("whole", encoding="utf-8")
    assert sorted(path.name for path in runs.iterdir()) == [".a.2.burn_in", "branch"]
