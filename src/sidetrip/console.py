"""What the command line tools share: their output, and how they refuse bad input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BAD_INPUT, INTERRUPTED = 2, 130  # exit statuses


@contextmanager
def command(*refusals: type[Exception], stopped: str = "stopped") -> Iterator[None]:
    """Body of a command: what is wrong with its input is one line and status 2, Ctrl-C one line and status 130.

    Standard output shows a character that its encoding lacks by its number, as standard error does.

    Parameters
    ----------
    refusals : exception classes
        That stand for bad input beside `ConfigError` and `FileError`.
    stopped : str
        What is said after Ctrl-C.
    """
    from sidetrip.config import ConfigError  # a command may have to settle its arithmetic before anything is loaded
    from sidetrip.files import FileError

    bad: tuple[type[Exception], ...] = (ConfigError, FileError, *refusals)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except bad as error:
        sys.stderr.write(f"sidetrip: {error}\n")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.stderr.write(f"sidetrip: {stopped}\n")
        sys.exit(INTERRUPTED)
