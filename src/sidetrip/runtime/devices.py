"""Devices and determinism."""

from __future__ import annotations

import os

import torch

from sidetrip.config import ConfigError


def resolve_device(name: str) -> torch.device:
    """Device of a name; "auto" is the first GPU where there is one, else the CPU.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"runtime.device = {name}: this machine has {torch.cuda.device_count()} CUDA device(s); use auto or cpu"
        )
    return device


def make_deterministic(precision: str) -> None:
    """Same software and hardware, same bits: one thread a process, deterministic kernels, no autotuning."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.set_num_threads(1)  # sums are then in one order, whatever the machine's core count
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
