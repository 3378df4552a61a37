"""How a stage ends before it is done: on an interrupt, on a request to end, or when the dvc that started it is gone.

All that is finished is on disk whole at every moment, so ending at once is safe, and quicker than any tidying up.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import resource_tracker

STOPPING = {signal.SIGINT, signal.SIGTERM}
LEFT_OVER = "ignore:resource_tracker:UserWarning"  # a filter of warnings, as PYTHONWARNINGS takes them


def end_at_once_when_asked(name: str) -> None:
    """Let one Ctrl-C or SIGTERM end this process within a moment, with one line; its workers end with it.

    Whichever thread a signal reaches, those that libraries have started among them, Python notes its number for a
    thread that waits for it. The signals are blocked in this thread and so in processes that are started from here.
    """
    # Python's own process that removes what is left of the semaphores of a pool need not warn that there was something.
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), LEFT_OVER)))
    numbers, notes = os.pipe()
    os.set_blocking(notes, False)
    signal.set_wakeup_fd(notes)
    for number in STOPPING:
        signal.signal(number, _noted)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # else no thread might take them
        number = 0
        while number not in STOPPING:
            (number,) = os.read(numbers, 1)
        _end(f"{name} was stopped by {signal.Signals(number).name}", 128 + number)

    threading.Thread(target=wait, daemon=True).start()


def shield_children() -> None:
    """Let a Ctrl-C, which a terminal sends to all processes of a stage, interrupt none that this one starts.

    They inherit what is blocked in this thread. Python unblocks it when it starts its tracker of semaphores.
    """
    if signal.getsignal(signal.SIGINT) is _noted:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _end(what: str, status: int) -> None:
    """End this process at once, with a line; a progress bar may stand where it begins."""
    sys.stderr.write(f"\nsidetrip: {what}; what is finished is kept, run the same command to go on\n")
    sys.stderr.flush()
    os._exit(status)


def _noted(number: int, frame: object) -> None:
    """Nothing is left to do: a handler of Python's own is there so that Python notes the signal."""


def end_with_dvc(name: str) -> None:
    """End this process when the dvc that started it is gone: the next one must not meet a second writer."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        with suppress(ProcessLookupError):
            # It may be gone already: who takes over an orphan is in another group of processes than dvc and its stages.
            while os.getppid() == parent and os.getpgid(parent) == os.getpgid(0):
                time.sleep(0.1)
        _end(f"{name} ended with the dvc that started it", 1)

    threading.Thread(target=watch, daemon=True).start()
