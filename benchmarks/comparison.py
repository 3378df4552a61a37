"""One branch point's averaging comparison: the pipeline against the same work written with stock parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from benchmarks.input import BenchmarkInput
from benchmarks.stock import stock_comparison
from benchmarks.table import Row
from benchmarks.timing import ratio, seconds
from benchmarks.workers import all_workers, comparison_unit, on_workers
from sidetrip.experiments.side_trips.measure import measure as side_trips

CORES = len(os.sched_getaffinity(0))
PROBE = 10  # steps of the windows by which the fastest setting of the stock parts is found
# As one would write it, and with what helps it on some machines: threads get in the way of the loaders' workers.
STOCK = {
    "": (torch.contiguous_format, CORES),
    ", channels_last": (torch.channels_last, CORES),
    ", channels_last, 1 thread": (torch.channels_last, 1),
}


def fastest_stock(work: BenchmarkInput) -> str:
    """Name of the setting in which the stock parts are fastest on short windows."""
    trips = replace(work.config.side_trips, windows=(PROBE,), two_point_windows=(PROBE,), ema_steps=PROBE)
    short = replace(work, config=replace(work.config, side_trips=trips))
    return min(STOCK, key=lambda name: seconds(partial(stock_comparison, short, *STOCK[name]), work.device))


def averaging_comparison(work: BenchmarkInput) -> Iterator[Row]:
    """Seconds a branch point: ours on one worker, ours on all workers at once, and stock parts on all cores."""
    everyone = all_workers(work)
    # The same work: stock parts score each model once.
    work = replace(work, config=replace(work.config, side_trips=replace(work.config.side_trips, looks=1)))
    work.warm_up()
    fastest = fastest_stock(work)
    alone, together, stock = [], [], []
    for _ in range(work.size.comparison_repetitions):
        alone.append(seconds(lambda: side_trips(work.lab, work.point), work.device))
        together.append(on_workers(work, partial(comparison_unit, work), everyone) / everyone)
        stock.append(seconds(partial(stock_comparison, work, *STOCK[fastest]), work.device))
    topic = "averaging comparison"
    yield Row(topic, "ours, 1 worker", median(alone), "s a branch point")
    yield Row(topic, f"ours, {everyone} workers", median(together), "s a branch point")
    yield Row(topic, f"stock parts{fastest}", median(stock), "s a branch point")
    yield Row(topic, "stock parts ÷ ours, 1 worker", ratio(stock, alone), "")
    yield Row(topic, "stock parts ÷ ours, all workers", ratio(stock, together), "", least=3.0)
