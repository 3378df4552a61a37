"""Interleaved timing: what is compared is measured in turns, so that a machine's moods fall on all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

Seconds = dict[str, list[float]]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(task: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's work included."""
    synchronize(device)
    start = time.perf_counter()
    task()
    synchronize(device)
    return time.perf_counter() - start


def interleaved(
    tasks: Mapping[str, Callable[[], object]], repetitions: int, device: torch.device, warm_up: bool = True
) -> Seconds:
    """Seconds of each task in each round; every round runs each task once, in the order given."""
    for task in tasks.values() if warm_up else ():
        task()
    taken: Seconds = {name: [] for name in tasks}
    for _ in range(repetitions):
        for name, task in tasks.items():
            taken[name].append(seconds(task, device))
    return taken


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """Median over the rounds of numerator by denominator of the same round."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))
