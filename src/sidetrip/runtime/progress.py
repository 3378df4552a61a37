"""The progress bar of a stage, fed by the workers."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import BaseContext
from typing import Any

from tqdm import tqdm

BETWEEN_MESSAGES = 0.5  # seconds


class Teller:
    """Tells of what a worker has done, now and then: a message for every step takes 1.5 % of two cores.

    Parameters
    ----------
    messages : queue
        Of whoever watches.
    """

    def __init__(self, messages: Any) -> None:
        self._messages, self._untold, self._last = messages, 0.0, time.monotonic()

    def add(self, amount: float) -> None:
        """Take in that so much has been done."""
        self._untold += amount
        if time.monotonic() - self._last > BETWEEN_MESSAGES:
            self.tell()

    def tell(self) -> None:
        """Tell what is untold."""
        self._messages.put(self._untold)
        self._untold, self._last = 0.0, time.monotonic()


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
            bar.update(source.get(timeout=0.05))
