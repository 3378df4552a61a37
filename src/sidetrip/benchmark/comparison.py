"""One branch point's averaging comparison: the pipeline against the same work written with stock parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from sidetrip.benchmark.stock import Comparison, StepRow, loaders
from sidetrip.benchmark.table import Row
from sidetrip.benchmark.timing import ratio, seconds
from sidetrip.benchmark.workers import comparison_unit, on_workers
from sidetrip.benchmark.workplace import Workplace
from sidetrip.experiments.side_trips import side_trips
from sidetrip.runtime.devices import make_deterministic
from sidetrip.runtime.executor import worker_devices
from sidetrip.state import restore

FORMATS = {"": torch.contiguous_format, ", channels_last": torch.channels_last}


@contextmanager
def torch_defaults(precision: str) -> Iterator[None]:
    """All cores, and no demand for determinism: what a script gets that asks for nothing."""
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.deterministic = False
    try:
        yield
    finally:
        make_deterministic(precision)


def stock_comparison(work: Workplace, memory_format: torch.memory_format) -> list[StepRow]:
    """The comparison with stock parts, as many threads as cores."""
    mean, deviation = work.facts["mean"], work.facts["deviation"]
    data = loaders(work.config, work.split("train"), work.split("validation"), mean, deviation)
    model, start = work.bench.model(), work.start
    restore(start, model)
    model.to(memory_format=memory_format)  # type: ignore[call-overload]
    rates = work.bench.rates[start.step :]
    with torch_defaults(work.config.model.precision):
        return Comparison(work.config, data, model, start.momentum, rates, work.device).run()


def averaging_comparison(work: Workplace) -> Iterator[Row]:
    """Seconds a branch point: ours on one worker, ours on all workers at once, and stock parts."""
    everyone = len(worker_devices(replace(work.config.runtime, device=work.device.type), 2**30))
    work.bench.evaluate, work.start  # noqa: B018 - opened before the clock starts
    alone, together = [], []
    stock: dict[str, list[float]] = {name: [] for name in FORMATS}
    for _ in range(work.size.comparison_repetitions):
        alone.append(seconds(lambda: side_trips(work.bench, work.start, 0), work.device))
        together.append(on_workers(work, partial(comparison_unit, work), everyone, everyone) / everyone)
        for name, memory_format in FORMATS.items():
            stock[name].append(seconds(partial(stock_comparison, work, memory_format), work.device))
    topic = "averaging comparison"
    yield Row(topic, "ours, 1 worker", median(alone), "s a branch point")
    yield Row(topic, f"ours, {everyone} workers", median(together), "s a branch point")
    for name, taken in stock.items():
        yield Row(topic, f"stock parts{name}, all cores", median(taken), "s a branch point")
        yield Row(topic, f"stock parts{name} ÷ ours, 1 worker", ratio(taken, alone), "")
        yield Row(topic, f"stock parts{name} ÷ ours, all workers", ratio(taken, together), "", least=3.0)
