"""What a stage says: on standard output and standard error, which nobody need read."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Heedless:
    """A stream whose writes never fail: its reader may be gone (`| head`), the disk behind it full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write if it can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if it can be flushed."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def speak_heedlessly() -> None:
    """Let no write to the standard streams of this process stop or fail what it computes; they may even be closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 it lives as long as this
        setattr(sys, name, Heedless(stream))
