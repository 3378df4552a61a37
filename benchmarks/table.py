"""The benchmark's table: what was measured, against which target, on what."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Row:
    """One measured quantity; `least` or `most` is its target where it has one."""

    topic: str
    quantity: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def target(self) -> str:
        """The target in words, empty without one."""
        if self.least is not None:
            return f"≥ {self.least:g}"
        return "" if self.most is None else f"≤ {self.most:g}"

    @property
    def met(self) -> str:
        """Whether the target is met, empty without one."""
        if self.least is None and self.most is None:
            return ""
        low, high = self.least or -np.inf, np.inf if self.most is None else self.most
        return "yes" if low <= self.value <= high else "no"


def hardware(device: torch.device, cores: int) -> str:
    """What the table was measured on, and with which versions."""
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else torch.backends.cpu.get_cpu_capability()
    named = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    processor = named[1].strip() if named else platform.machine()
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, torchvision {version('torchvision')}"
    return f"{processor} ({cores} cores), {where}; {versions}, NumPy {np.__version__}."


def markdown(rows: Iterable[Row], head: str) -> str:
    """The page."""
    lines = [head, "", "| topic | quantity | value | unit | target | met |", "| --- | --- | ---: | --- | --- | --- |"]
    lines += [f"| {r.topic} | {r.quantity} | {r.value:.3g} | {r.unit} | {r.target} | {r.met} |" for r in rows]
    return "\n".join(lines) + "\n"
