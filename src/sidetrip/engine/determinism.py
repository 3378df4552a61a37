"""What makes a process compute the same bits every time: which kernels it takes, in which order, in which precision.

PyTorch, oneDNN, MKL, OpenBLAS and NumPy choose their kernels by the processor that they find, and the kernels round
differently. The portable arithmetic has them take the same on every x86-64 processor with AVX2; the native one, this
processor's own best. They read which once, as they are loaded, from the environment: so nothing here loads torch
before it has to.

MKL's mode AVX2 is not enough: it gives other bits on Intel's processors than on AMD's. COMPATIBLE does not. What
`torch.sqrt` computes for whole tensors then starts from the processor's own approximate reciprocal root, which differs
between makers; nothing here uses it.

References
----------
Intel oneMKL developer guide, "Conditional Numerical Reproducibility"; oneDNN, "CPU dispatcher control"; PyTorch,
"Reproducibility".
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
THREADS = "OMP_NUM_THREADS"


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


def present_arithmetic() -> str:
    """Arithmetic of this process, by its environment."""
    return PORTABLE if all(os.environ.get(key) == value for key, value in KERNELS.items()) else NATIVE


def settle(arithmetic: str) -> None:
    """Have this process compute with an arithmetic: start it anew where its environment is another."""
    wanted = environment(arithmetic, os.environ)
    if wanted != dict(os.environ):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def one_thread_each() -> str:
    """Have the processes that this one starts sum on one thread each, unless the user says how many; says how many."""
    return os.environ.setdefault(THREADS, "1")


def make_deterministic(precision: str) -> None:
    """Same software and hardware, same bits: one thread a process, deterministic kernels, no autotuning.

    Parameters
    ----------
    precision : str
        "fp32", "tf32" or "bf16": whether a GPU multiplies float32 in TF32. "bf16" acts where a network is called, see
        `training.autocast`.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    import torch

    torch.set_num_threads(1)  # sums are then in one order, whatever the machine's core count
    # use_deterministic_algorithms would tell the compiler as well, and load it for that: over a second in every worker.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory before it is written; filling all of it first takes 3 % of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


@contextmanager
def ieee_products() -> Iterator[None]:
    """Context in which a GPU multiplies float32 matrices, and convolves with them, as IEEE 754 says: not in TF32."""
    import torch

    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    matrices.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        matrices.allow_tf32, convolutions.allow_tf32 = before
