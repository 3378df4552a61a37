"""Check every result against the digests that it was written with: python -m sidetrip.check.

DVC trusts what lies in its cache, and looks at no file of runs/ or reports/ that nobody has touched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sidetrip.console import command
from sidetrip.files import SUMS, FileError, faults, remedy


def all_faults(runs: Path, reports: Path) -> Iterator[FileError]:
    """What is wrong with the outputs of stages in the working directory, which is the root of a checkout."""
    for folder in sorted(runs.glob("*/*/")):
        if (folder / SUMS).is_file():
            yield from faults(folder)
        else:
            yield FileError(f"{folder / SUMS}: not there; {remedy(folder / SUMS)}")
    for sums in sorted(reports.glob(f"*/{SUMS}")):
        yield from faults(sums.parent, others=True)


def main() -> None:
    """Print a line for each fault, or that there is none; the exit status tells which."""
    with command():
        found = 0
        for fault in all_faults(Path("runs"), Path("reports")):
            found += 1
            sys.stdout.write(f"sidetrip: {fault}\n")
        if found:
            sys.exit(1)
        sys.stdout.write("sidetrip: all of runs/ and reports/ is as it was written\n")


if __name__ == "__main__":
    main()
