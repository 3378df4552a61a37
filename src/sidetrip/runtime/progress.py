"""The progress bar of a stage, fed by the workers."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

from tqdm import tqdm

BETWEEN_MESSAGES = 0.5  # seconds


class Teller:
    """Tells of what a worker has done, now and then: a message for every step takes 1.5 % of two cores.

    The messages go to a queue; None: nobody watches.
    """

    def __init__(self, messages: Any = None) -> None:
        self._messages, self._last = messages, time.monotonic()
        self._left = self._untold = 0

    def begin(self, work: int) -> None:
        """Begin a unit of so much work: in the end that is told of, no more and no less."""
        self._left = work

    def add(self, amount: int) -> None:
        """Take in that so much has been done."""
        amount = min(amount, self._left)
        self._left -= amount
        self._untold += amount
        if time.monotonic() - self._last > BETWEEN_MESSAGES:
            self._tell()

    def finish(self) -> None:
        """Take in that the unit is done, and tell what is untold."""
        self._untold += self._left
        self._left = 0
        self._tell()

    def _tell(self) -> None:
        if self._messages is not None:
            self._messages.put(self._untold)
        self._untold, self._last = 0, time.monotonic()


def progress_bar(total: int, done: int, description: str, counted: str) -> Any:
    """A bar over so much work, of which so much is done, on standard error."""
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit=f" {counted}",
        unit_scale=total >= 1000,
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
        # It shows what is left. A worker that was killed while it wrote to the queue leaves it waiting for ever.
        watcher.join(1.0)


def _watch(source: Any, bar: Any, ended: threading.Event) -> None:
    while True:
        try:
            bar.update(source.get(timeout=0.05))
        except queue.Empty:
            if ended.is_set():
                return
