"""The environment that kernels are chosen by: set before they are loaded, taken back for the native arithmetic."""

import os
import subprocess
import sys

import pytest

from sidetrip.runtime import arithmetic
from sidetrip.runtime.arithmetic import KERNELS, NATIVE, PORTABLE, environment

SETTLING = """
import os, sys
from sidetrip.runtime.arithmetic import KERNELS, present, settle
print("started", flush=True)
settle(sys.argv[1])
import torch
print(present(), torch.backends.cpu.get_cpu_capability(), sys.argv[1:])
"""


def settled(tmp_path, wanted: str, **present: str) -> list[str]:
    script = tmp_path / "script.py"
    script.write_text(SETTLING, encoding="utf-8")
    plain = {key: value for key, value in os.environ.items() if key not in KERNELS}
    command = [sys.executable, str(script), wanted, "another argument"]
    result = subprocess.run(
        command,
        env={**plain, "PYTHONPATH": "src", **present},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return result.stdout.splitlines()


def test_a_process_starts_itself_anew_once_and_then_computes_so(tmp_path):
    assert settled(tmp_path, PORTABLE) == [
        "started",
        "started",
        "portable AVX2 ['portable', 'another argument']",
    ]


def test_one_that_is_right_goes_on(tmp_path):
    assert settled(tmp_path, PORTABLE, **KERNELS)[0:2] != ["started", "started"]
    assert settled(tmp_path, NATIVE)[0:2] != ["started", "started"]


def test_native_takes_out_what_portable_has_set(tmp_path):
    first, second, last = settled(tmp_path, NATIVE, **KERNELS)
    assert (first, second) == ("started", "started")
    assert last.startswith("native ")


def test_a_value_of_the_user_s_own_stays_for_the_native_arithmetic():
    mine = {"OPENBLAS_CORETYPE": "Zen", "MKL_CBWR": KERNELS["MKL_CBWR"], "HOME": "here"}
    assert environment(NATIVE, mine) == {"OPENBLAS_CORETYPE": "Zen", "HOME": "here"}
    assert environment(PORTABLE, mine) == {**mine, **KERNELS}


def test_a_processor_without_avx2_is_left_alone(monkeypatch):
    monkeypatch.setattr(arithmetic, "is_portable_here", lambda: False)
    assert environment(PORTABLE, {"HOME": "here"}) == {"HOME": "here"}


def test_tests_compute_as_stages_do():
    assert arithmetic.present() == PORTABLE


def test_a_command_gets_the_environment():
    command = [sys.executable, "-m", "sidetrip.runtime.arithmetic", PORTABLE, "printenv", "MKL_CBWR"]
    result = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert result.stdout.strip() == KERNELS["MKL_CBWR"]


@pytest.mark.parametrize("arguments", [[], [PORTABLE], ["other", "true"]])
def test_what_it_is_not_asked_for_rightly_is_one_line(arguments):
    with pytest.raises(SystemExit, match=r"^sidetrip: use python -m sidetrip.runtime.arithmetic portable\|native COMM"):
        arithmetic.main(arguments)
