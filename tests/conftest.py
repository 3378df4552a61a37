"""Shared settings of the tests, and a small main trajectory on random pictures."""

from pathlib import Path

import pytest
import torch
from helpers import burnt_in, random_lab, smoke_config
from hypothesis import settings

from sidetrip.engine.lab import Lab
from sidetrip.runtime.devices import make_deterministic

# A shared machine can stall any example, and no test here is about time.
settings.register_profile("sidetrip", deadline=None, derandomize=False, max_examples=50)
settings.load_profile("sidetrip")

torch.set_num_threads(1)  # small work, on a machine that runs other tests: threads would wait for each other


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Lab:
    """A lab on random pictures, in a process that computes as a worker does."""
    make_deterministic("fp32")
    return random_lab(tmp_path_factory.mktemp("data"), smoke_config())


@pytest.fixture(scope="session")
def snapshots(lab, tmp_path_factory) -> Path:
    """Snapshots of its main trajectory."""
    return burnt_in(lab, tmp_path_factory.mktemp("snapshots"))
