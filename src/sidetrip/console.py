"""What the command line tools share: their output, and how they refuse bad input."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sidetrip.files import FileError

BAD_INPUT, INTERRUPTED = 2, 130  # exit statuses
LONGEST = 1000  # characters of foreign text that is shown


class ConfigError(ValueError):
    """An input that cannot be run; the message is one line: what, which value, what to do."""


def printable(text: str) -> str:
    """Foreign text as one line: control characters by their number, a very long text without its middle."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left there is not tried again
        sys.stderr.write(f"sidetrip: standard output: cannot be written ({error.strerror}); see where it goes\n")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.stderr.write(f"sidetrip: {stopped}\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not isinstance(error, (FileError, ConfigError, *refusals)):
            raise
        sys.stderr.write(f"sidetrip: {printable(str(error))}\n")
        sys.exit(BAD_INPUT)
