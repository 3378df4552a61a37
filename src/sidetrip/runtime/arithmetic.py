"""`python -m sidetrip.runtime.arithmetic portable COMMAND...` runs COMMAND with the environment of that arithmetic.

Which one that is, and what it does, is in `sidetrip.engine.determinism`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sidetrip.engine.determinism import NATIVE, PORTABLE, environment


def main(arguments: Sequence[str]) -> None:
    """Run a command with the environment of an arithmetic."""
    if len(arguments) < 2 or arguments[0] not in (PORTABLE, NATIVE):
        sys.exit(f"sidetrip: use python -m sidetrip.runtime.arithmetic {PORTABLE}|{NATIVE} COMMAND...")
    try:
        os.execvpe(arguments[1], list(arguments[1:]), environment(arguments[0], os.environ))
    except OSError as error:
        sys.exit(f"sidetrip: {arguments[1]}: cannot be run ({error.strerror})")


if __name__ == "__main__":
    main(sys.argv[1:])
