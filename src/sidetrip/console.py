"""What goes to a terminal, whatever characters its encoding has."""

from __future__ import annotations

import io
import sys


def write_any_text() -> None:
    """Have standard output show a character that its encoding lacks by its number, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
