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
import sys
from sidetrip.engine.determinism import KERNELS, present_arithmetic, settle
print("started", flush=True)
settle(sys.argv[1])
print(present_arithmetic(), "torch" in sys.modules, sys.argv[1:])
"""


@pytest.mark.parametrize("wanted", [PORTABLE, NATIVE])
@pytest.mark.parametrize("present", [PORTABLE, NATIVE])
def test_a_process_with_another_arithmetic_starts_itself_anew_once(tmp_path, present, wanted):
    script = tmp_path / "script.py"
    script.write_text(SETTLING, encoding="utf-8")
    plain = {key: value for key, value in os.environ.items() if key not in KERNELS} | {"PYTHONPATH": "src"}
    command = [sys.executable, str(script), wanted, "another argument"]
    here = plain | (KERNELS if present == PORTABLE else {})
    told = subprocess.check_output(command, env=here, text=True, encoding="utf-8").splitlines()
    starts = ["started"] * (1 if present == wanted else 2)
    assert told == [*starts, f"{wanted} False ['{wanted}', 'another argument']"]


def test_what_the_user_has_set_stays_for_the_native_arithmetic_and_without_avx2(monkeypatch):
    mine = {"OPENBLAS_CORETYPE": "Zen", "MKL_CBWR": KERNELS["MKL_CBWR"], "HOME": "here"}
    assert environment(NATIVE, mine) == {"OPENBLAS_CORETYPE": "Zen", "HOME": "here"}
    assert environment(PORTABLE, mine) == {**mine, **KERNELS}
    monkeypatch.setattr(determinism, "is_portable_here", lambda: False)
    assert environment(PORTABLE, mine) == environment(NATIVE, mine)


def test_tests_compute_as_stages_do():
    assert determinism.present_arithmetic() == PORTABLE
    assert torch.backends.cpu.get_cpu_capability() == "AVX2"


def test_a_stage_computes_with_the_arithmetic_of_its_settings_and_says_so(tmp_path):
    """Others than those of this process, of which MKL_CBWR is changed."""
    repository = linked(tmp_path)
    assert end(start(repository, "quadratic", f"model.arithmetic={NATIVE}", MKL_CBWR="AVX2"))[0] == 0
    (software,) = read_json(repository / "runs" / "smoke" / "quadratic" / PROVENANCE)
    assert software["arithmetic"] == NATIVE


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
