"""What more workers bring, how long it takes until they work, and what they hold in memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch

from benchmarks.input import BenchmarkInput
from benchmarks.table import Row
from benchmarks.units import Tables, span, spans_of
from sidetrip.config import save_config
from sidetrip.engine.training import advance
from sidetrip.experiments import evaluator
from sidetrip.experiments.single_step.measure import measure as single_step
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import AverageBank, RunningAverage
from sidetrip.runtime.pool import worker_devices
from sidetrip.runtime.units import worker

Task = Callable[[BenchmarkInput, int], object]  # of a worker's input and number


def all_workers(work: BenchmarkInput) -> int:
    """How many the pipeline would use, were there units enough."""
    return len(worker_devices(replace(work.config.runtime, device=work.device.type), 2**30))


def on_workers(work: BenchmarkInput, task: Task, number: int) -> float:
    """Seconds from the first start to the last end of a task that each of so many workers does once."""
    runtime = replace(work.config.runtime, device=work.device.type, workers=number)
    spans = spans_of(partial(_timed, work, task), number, replace(work.config, runtime=runtime))
    return float(spans["end"].max() - spans["start"].min())


def _timed(work: BenchmarkInput, task: Task, index: int, _: object) -> Tables:
    """A task on this worker's device, its data and branch point ready before the time is taken."""
    here = replace(work, device=torch.device(worker().device))
    here.warm_up()
    start = time.monotonic()
    task(here, index)
    return span(start)


def train(work: BenchmarkInput, index: int) -> None:
    """Some training steps, on each worker of its own stream."""
    rates = [0.01] * (10 * work.size.steps)
    advance(work.lab.model(), work.start, work.lab.stream(index), rates, work.lab.optimizer)


def throughput(work: BenchmarkInput) -> Iterator[Row]:
    """Units of training per second on one and on all workers, in turns."""
    everyone, rounds = all_workers(work), range(max(1, work.size.repetitions // 3))
    alone, together = zip(*([on_workers(work, train, number) for number in (1, everyone)] for _ in rounds), strict=True)
    gain = median(everyone * a / b for a, b in zip(alone, together, strict=True))
    yield Row("workers", "1 worker", 1 / median(alone), "units/s")
    yield Row("workers", f"{everyone} workers", everyone / median(together), "units/s")
    yield Row("workers", f"{everyone} workers ÷ 1 worker", gain, "", least=0.9 * everyone)


def start_up(work: BenchmarkInput) -> Iterator[Row]:
    """Until a stage has read its settings, and until its first unit starts."""
    settings, units = [], []
    with tempfile.TemporaryDirectory() as folder:
        save_config(work.config, Path(folder) / "config.yaml")
        stage = [sys.executable, "stages/single_step.py", "-cd", folder, "--cfg", "job"]
        for _ in range(max(1, work.size.repetitions // 3)):
            start = time.time()
            subprocess.run(stage, check=True, stdout=subprocess.DEVNULL)
            settings.append(time.time() - start)
            first = [sys.executable, "-m", "benchmarks.units", str(time.monotonic())]
            printed = subprocess.run(first, check=True, capture_output=True, text=True, encoding="utf-8")
            units.append(float(printed.stdout))
    yield Row("start-up", "stage --cfg job", median(settings), "s", most=4.0)
    yield Row("start-up", "to the first unit on a worker", median(units), "s", most=4.0)


def _peak(work: BenchmarkInput, kind: str, window: int) -> float:
    """Peak memory in MB of one kind of work, in a process of its own."""
    lab = work.lab
    if kind == "training and averages":
        bank = AverageBank([RunningAverage(Kernel.swa(window), work.start.step)], lambda position, average: None)
        advance(lab.model(), work.start, lab.stream(0), [0.01] * window, lab.optimizer, [bank])
    elif kind == "evaluation":
        list(evaluator.scores(lab, work.start))
    else:
        single_step(lab, work.point)
    if work.device.type == "cuda":
        return torch.cuda.max_memory_allocated(work.device) / 1e6
    # Not getrusage: a new process inherits the peak of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def memory(work: BenchmarkInput) -> Iterator[Row]:
    """Peak memory of each kind of work, and its growth with the window of an average."""

    def peak(kind: str, window: int = 0) -> float:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(_peak, work, kind, window).result()

    short, long = (peak("training and averages", window) for window in (work.size.steps, 8 * work.size.steps))
    yield Row("memory", f"training and averages, window {work.size.steps}", short, "MB")
    yield Row("memory", f"growth to window {8 * work.size.steps}", 100 * (long / short - 1), "%", most=5.0)
    yield Row("memory", "evaluation", peak("evaluation"), "MB")
    yield Row("memory", "single step", peak("single step"), "MB")
