"""The smoke variant run once, for all tests of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from smoke import RESULTS, clone, digests, dvc


@pytest.fixture(scope="session")
def done(tmp_path_factory, worker_id) -> Path:
    """A finished pipeline, one for all processes that run tests: to be read, and copied for any change."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    with FileLock(shared / "done.lock"):
        if not (shared / "done").exists():
            folder = clone(shared / "under_way")
            result = dvc(folder, "repro")
            assert result.returncode == 0, result.stderr[-2000:]
            folder.rename(shared / "done")
    return shared / "done"


@pytest.fixture
def copy(done, tmp_path) -> Path:
    """A finished pipeline to change or spoil."""
    return Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))


@pytest.fixture
def lasting(copy) -> Iterator[Path]:
    """A finished pipeline that has the same results at the end, whatever a test does to it."""
    before = digests(copy, *RESULTS)
    yield copy
    assert digests(copy, *RESULTS) == before
