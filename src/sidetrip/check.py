"""Check every result against the digests that it was written with: python -m sidetrip.check.

DVC takes what is in its cache for what it was, and checks out a file that has gone bad there. It adds no file to its
cache in place of one that is there already: so a bad one has to go, and its stage to run again.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dvc.repo import Repo

from sidetrip.console import command
from sidetrip.files import SUMS, FileError, faults, remedy

CACHED = re.compile(r"[0-9a-f]{30}(\.dir)?")  # name of a cached file, after the folder of its first two digits


def faults_of_results() -> Iterator[FileError]:
    """What is wrong with the outputs of stages in the working directory, which is the root of a checkout.

    Hidden folders are what a process that was killed has left.
    """
    for folder in sorted(Path().glob("runs/*/[!.]*/")):
        if (folder / SUMS).is_file():
            yield from faults(folder)
        else:
            yield FileError(f"{folder / SUMS}: not there; {remedy(folder / SUMS)}")
    for sums in sorted(Path().glob(f"reports/*/{SUMS}")):
        yield from faults(sums.parent, others=True)


def faults_of_cache(cache: Path) -> Iterator[FileError]:
    """Files in DVC's cache that do not have the digest that is their name."""
    for path in sorted(path for path in cache.glob("??/*") if CACHED.fullmatch(path.name)):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != path.parent.name + path.stem:
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            yield FileError(f"{shown}: damaged in DVC's cache; run `rm -f {shown}`, and `dvc repro`")


def main() -> None:
    """Print a line for each fault, or that there is none; the exit status tells which."""
    with command():
        found = False
        for fault in (*faults_of_cache(Path(Repo(".").cache.local.path)), *faults_of_results()):
            found = True
            sys.stdout.write(f"sidetrip: {fault}\n")
        if found:
            sys.exit(1)
        sys.stdout.write("sidetrip: all results and DVC's cache are as they were written\n")


if __name__ == "__main__":
    main()
