"""Devices: which there are, and which one a process computes on."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from sidetrip.config import Config, ConfigError

DRIVERS = ("nvidia*", "kfd", "dxg")  # in /dev, of Nvidia, AMD and Windows


def gpu_count() -> int:
    """GPUs that torch can use.

    Raises
    ------
    ConfigError
        If there are GPUs that it cannot use: where CUDA does not start, workers would die.
    """
    if not any(any(Path("/dev").glob(name)) for name in DRIVERS):
        return 0  # torch, which takes seconds to load, would say the same
    import torch

    there = torch.cuda.device_count()  # asks the driver alone, whatever its age
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        starts = torch.cuda.is_available()
    if there and not starts:
        reason = str(said[-1].message).partition("(")[0].strip() if said else "CUDA does not start"
        raise ConfigError(
            f"runtime.device: this machine has {there} GPU(s) that torch {torch.__version__} cannot use ({reason}); "
            f"install a driver for CUDA {torch.version.cuda} or newer, or use cpu"
        )
    return there


def resolve_device(name: str) -> str:
    """Device of a name: "cpu", "cuda" or "cuda:N"; "auto" is the GPUs where there are any, else the CPU."""
    if name == "cpu":
        return name
    there = gpu_count()
    if name == "auto":
        return "cuda" if there else "cpu"
    if int(name.partition(":")[2] or 0) >= there:
        raise ConfigError(f"runtime.device = {name}: this machine has {there} CUDA device(s); use auto or cpu")
    return name


def use_device(device: str) -> None:
    """Make a device the one that this process computes on, where nothing else is said, too."""
    if not device.startswith("cuda"):
        return
    import torch

    try:
        torch.cuda.set_device(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"runtime.device: CUDA does not start on {device} ({str(error).splitlines()[0]}); see `nvidia-smi`, or use "
            "cpu"
        ) from error


def on_cores(config: Config) -> Config:
    """The configuration with processor cores for its device, for work that no GPU is to do."""
    return replace(config, runtime=replace(config.runtime, device="cpu"))
