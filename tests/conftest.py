"""Shared settings of the tests, and a small main trajectory on random pictures."""

import os
import signal
import sys
from pathlib import Path

from sidetrip.engine.determinism import PORTABLE, environment, make_deterministic

# As a stage does, before numpy and torch are loaded.
os.environ.update(environment(PORTABLE, os.environ))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch
from helpers import branched_off, burnt_in, random_lab, smoke_config
from hypothesis import settings

import sidetrip.runtime.starting  # noqa: F401 - does nothing here, and so nothing where a test runs a stage's script
from sidetrip.engine.lab import Lab
from sidetrip.measure import multi_power_law

# A shared machine can stall any example, and no test here is about time.
settings.register_profile("sidetrip", deadline=None, derandomize=False, max_examples=50)
settings.load_profile("sidetrip")

# A law that is fitted badly is fitted well enough for pages and verdicts; its own test asks for more.
multi_power_law.EVALUATIONS = 5

torch.set_num_threads(1)  # small work, on a machine that runs other tests: threads would wait for each other


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """pyplot keeps what is drawn until it is closed; a figure that tests share can be read all the same."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Lab:
    """A lab on random pictures, in a process that computes as a worker does."""
    make_deterministic("fp32")
    # Where one own batch is enough for a pipeline that runs, two are needed to tell them apart.
    return random_lab(tmp_path_factory.mktemp("runs"), smoke_config(**{"single_step.own_batches": 2}))


@pytest.fixture(scope="session")
def snapshots(lab) -> Path:
    """Snapshots of its main trajectory."""
    return burnt_in(lab)


@pytest.fixture(scope="session")
def branched(lab, snapshots) -> Path:
    """Its branch points."""
    return branched_off(lab)
