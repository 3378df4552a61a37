"""Where the reports of the active variants lie, and what they say: python -m sidetrip.summary."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sidetrip.config import active_variants, load_params
from sidetrip.console import command
from sidetrip.files import read_json
from sidetrip.report.render import counts


def lines(reports: Path) -> Iterator[str]:
    """One for each active variant, and one for the page of all."""
    for variant in active_variants(load_params(Path("params.yaml"))):
        yield f"{reports / variant / 'README.md'}: {counts(read_json(reports / variant / 'claims.json'))}"
    yield f"{reports / 'README.md'}: the verdicts of all variants side by side."


def main() -> None:
    """Print them."""
    with command():
        sys.stdout.write("".join(f"{line}\n" for line in lines(Path("reports"))))


if __name__ == "__main__":
    main()
