"""The progress bar of a stage, fed by the workers."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import BaseContext
from typing import Any

from tqdm import tqdm


def progress_bar(total: float, done: float, description: str, counted: str) -> Any:
    """A bar over a cost of `total`, of which so much is done, on standard error."""
    return tqdm(
        total=round(total),
        initial=round(done),
        desc=description,
        unit=counted,
        mininterval=1 if sys.stderr.isatty() else 10,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]",
    )


@contextmanager
def watching(bar: Any, context: BaseContext) -> Iterator[Any]:
    """Yield a queue for workers, of the amounts that they have done; it shows on the bar."""
    progress, ended = context.Queue(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(progress, bar, ended), daemon=True)
    watcher.start()
    try:
        yield progress
    finally:
        ended.set()
        watcher.join(1.0)  # a worker killed while it wrote to the queue leaves the reader waiting


def _watch(source: Any, bar: Any, ended: threading.Event) -> None:
    while not ended.is_set():
        with suppress(queue.Empty):
            bar.update(source.get(timeout=0.2))
