"""Tables as CSV files: what their bytes depend on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sidetrip.files import read_bytes, write_bytes

if TYPE_CHECKING:
    import pandas as pd

FLOAT_FORMAT = "%.9g"  # every float32 and the meaningful part of a float64


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table as CSV, atomically, the same bytes for the same values."""
    text = table.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    write_bytes(path, text.encode())


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of a sealed folder, checked."""
    import pandas as pd  # a process that only hands out work can do without

    return pd.read_csv(BytesIO(read_bytes(path)))


def join_tables(parts: Sequence[bytes]) -> bytes:
    """CSV files with the same header one after another."""
    header, _, _ = parts[0].partition(b"\n")
    bodies = []
    for part in parts:
        here, _, body = part.partition(b"\n")
        assert here == header, "units of a stage make tables with the same columns"
        bodies.append(body)
    return header + b"\n" + b"".join(bodies)
