"""The environment that kernels are chosen by: set before they are loaded, taken back for the native arithmetic."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from smoke import end, linked, start

from sidetrip.engine import determinism
from sidetrip.engine.determinism import KERNELS, NATIVE, PORTABLE, environment
from sidetrip.files import read_json
from sidetrip.runtime.provenance import PROVENANCE

SETTLING = """
import os, sys
from sidetrip.engine.determinism import KERNELS, present_arithmetic, settle
print("started", flush=True)
settle(sys.argv[1])
import torch
print(present_arithmetic(), torch.backends.cpu.get_cpu_capability(), sys.argv[1:])
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
    monkeypatch.setattr(determinism, "is_portable_here", lambda: False)
    assert environment(PORTABLE, {"HOME": "here"}) == {"HOME": "here"}


def test_tests_compute_as_stages_do():
    assert determinism.present_arithmetic() == PORTABLE


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    return linked(tmp_path_factory.mktemp("repository"))


@pytest.mark.parametrize("wanted", [NATIVE, PORTABLE])
def test_a_stage_computes_with_the_arithmetic_of_its_settings_and_says_so(repository, wanted):
    stage = start(repository, "quadratic", f"model.arithmetic={wanted}", MKL_CBWR="AVX2")  # neither of the two
    assert end(stage)[0] == 0
    (software,) = read_json(repository / "runs" / "smoke" / "quadratic" / PROVENANCE)
    assert software["arithmetic"] == wanted


def roots_of_tensors(path: Path) -> list[int]:
    """Lines of a source with tensors that take a root which is neither Python's nor NumPy's."""
    found, source = [], path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)) if "torch" in source else ():
        if isinstance(node, ast.Attribute) and "sqrt" in node.attr and node.attr not in ("rsqrt", "one_minus_sqrt"):
            found += [] if ast.unparse(node.value) in ("math", "np") else [node.lineno]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and ast.unparse(node.right) == "0.5":
            found += [] if isinstance(node.left, ast.Constant) else [node.lineno]
    return found


def test_no_root_is_torch_s():
    """Those of whole tensors are not rounded correctly, nor alike on all processors."""
    lines = {str(path): roots_of_tensors(path) for path in Path("src").rglob("*.py")}
    assert {path: found for path, found in lines.items() if found} == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_reciprocal_root_is_rounded_at_each_step(dtype):
    values = torch.rand(10_000, dtype=dtype, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(values.rsqrt().numpy(), 1 / np.sqrt(values.numpy()))
