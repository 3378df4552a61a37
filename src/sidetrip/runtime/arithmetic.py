"""Which arithmetic processor kernels use: the same bits on every x86-64 processor with AVX2, or this one's own best.

PyTorch, oneDNN, MKL, OpenBLAS and NumPy choose their kernels by the processor that they find, and the kernels round
differently. What they choose is read once, as they are loaded, from the environment:

    python -m sidetrip.runtime.arithmetic portable COMMAND...     runs COMMAND with the environment of that arithmetic

MKL's mode AVX2 is not enough: it gives other bits on Intel's processors than on AMD's. COMPATIBLE does not. What
`torch.sqrt` computes for whole tensors then starts from the processor's own approximate reciprocal root, which differs
between makers; nothing here uses it.

References
----------
Intel oneMKL developer guide, "Conditional Numerical Reproducibility"; oneDNN, "CPU dispatcher control".
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

PORTABLE, NATIVE = "portable", "native"
KERNELS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


@cache
def is_portable_here() -> bool:
    """Whether this processor has what the portable kernels need: x86-64 with AVX2."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    information = Path("/proc/cpuinfo")
    return not information.exists() or "avx2" in information.read_text(encoding="utf-8").split()


def environment(arithmetic: str, present: Mapping[str, str]) -> dict[str, str]:
    """The environment `present` changed to that of an arithmetic; what the portable one has set goes for the native."""
    others = {key: value for key, value in present.items() if KERNELS.get(key) != value}
    return {**others, **(KERNELS if arithmetic == PORTABLE and is_portable_here() else {})}


def present() -> str:
    """Arithmetic of this process, by its environment."""
    return PORTABLE if all(os.environ.get(key) == value for key, value in KERNELS.items()) else NATIVE


def settle(arithmetic: str) -> None:
    """Have this process compute with an arithmetic: start it anew where its environment is another."""
    wanted = environment(arithmetic, os.environ)
    if wanted != dict(os.environ):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def main(arguments: Sequence[str]) -> None:
    """Run a command with the environment of an arithmetic."""
    if len(arguments) < 2 or arguments[0] not in (PORTABLE, NATIVE):
        sys.exit(f"sidetrip: use python -m sidetrip.runtime.arithmetic {PORTABLE}|{NATIVE} COMMAND...")
    try:
        os.execvpe(arguments[1], list(arguments[1:]), environment(arguments[0], os.environ))
    except OSError as error:
        sys.exit(f"sidetrip: {arguments[1]}: cannot be run ({error.strerror})")


if __name__ == "__main__":
    main(sys.argv[1:])
