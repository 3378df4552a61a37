"""How a stage ends before it is done: on an interrupt, on a request to end, or when the dvc that started it is gone.

All that is finished is on disk whole at every moment, so ending at once is safe, and quicker than any tidying up.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

STOPPING = {signal.SIGINT, signal.SIGTERM}


def end_at_once_when_asked(name: str) -> None:
    """Let one Ctrl-C or SIGTERM end this process within a moment, with one line; its workers end with it.

    The signals stay blocked in every other thread and in processes that are started from here, so a Ctrl-C in a
    terminal, which goes to all of them, interrupts nothing half-way.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def wait() -> None:
        number = signal.sigwait(STOPPING)
        sys.stderr.write(
            f"\nsidetrip: {name} was stopped by {signal.Signals(number).name}; what is finished is kept, "
            "run the same command to go on\n"
        )
        sys.stderr.flush()
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()


def end_with_dvc() -> None:
    """End this process when the dvc that started it is gone: the next one must not meet a second writer."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
