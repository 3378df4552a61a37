"""Write reports/README.md, the page over all variants, with its tables and pictures."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
from pathlib import Path

from sidetrip.config import load_params
from sidetrip.console import command
from sidetrip.index.page import write_index


def main() -> None:
    """Write it from the reports that are there."""
    with command():
        write_index(Path("reports"), load_params(Path("params.yaml")).base)


if __name__ == "__main__":
    main()
