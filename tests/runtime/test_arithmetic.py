"""A command with the environment of an arithmetic, or one line that says why not."""

import os
import subprocess
import sys

import pytest

from sidetrip.engine.determinism import KERNELS, PORTABLE
from sidetrip.runtime import arithmetic


def test_a_command_gets_the_environment():
    command = [sys.executable, "-m", "sidetrip.runtime.arithmetic", PORTABLE, "printenv", "MKL_CBWR"]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert result.stdout.strip() == KERNELS["MKL_CBWR"]


@pytest.mark.parametrize("arguments", [[], [PORTABLE], ["other", "true"]])
def test_what_it_is_not_asked_for_rightly_is_one_line(arguments):
    with pytest.raises(SystemExit, match=r"^sidetrip: use python -m sidetrip.runtime.arithmetic portable\|native COMM"):
        arithmetic.main(arguments)


def test_a_command_that_cannot_be_run_is_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"^sidetrip: no-such-command: cannot be run \(No such file or directory\)$"):
        arithmetic.main([PORTABLE, "no-such-command"])
