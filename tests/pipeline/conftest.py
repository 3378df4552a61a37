"""The smoke variant run once, for all tests of this folder."""

from pathlib import Path

import pytest
from smoke import clone, dvc


@pytest.fixture(scope="session")
def done(tmp_path_factory) -> Path:
    folder = clone(tmp_path_factory.mktemp("one"))
    result = dvc(folder, "repro")
    assert result.returncode == 0, result.stderr[-2000:]
    return folder


@pytest.fixture
def empty(tmp_path) -> Path:
    return clone(tmp_path / "empty")
