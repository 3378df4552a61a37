"""The numbers of README's findings are those of the committed tables."""

import re
from pathlib import Path

import pandas as pd
import pytest

README = Path("README.md").read_text(encoding="utf-8")
VARIANTS = ("fashion_mnist", "fashion_mnist_adamw", "shakespeare")
ROWS = {
    "gain of SWA": ("swa", "gain"),
    "SWA − its trip, whose rate falls linearly to 0": ("swa", "gap"),
    "two-point average − the trip at half the rate": ("two_point", "gap"),
    "EMA − the trip with its schedule": ("ema", "gap"),
}


def cell(variant: str, kernel: str, column: str) -> str:
    """What the table has to say: from the late branch points together, at the widest window."""
    points = pd.read_csv(Path("reports", variant, "tables", "equivalence_map.csv"))
    rows = points[points["late"] & (points["kernel"] == kernel)]
    row = rows.loc[rows["window_steps"].idxmax()]
    return f"{row['gain']:.4f}" if column == "gain" else f"{row['gap']:+.4f}: {row['outcome']}"


@pytest.mark.parametrize("name", ROWS)
def test_findings_are_those_of_the_tables(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {name} |")]
    found = [text.strip() for text in line.strip("|").split("|")][1:]
    assert found == [cell(variant, *ROWS[name]) for variant in VARIANTS]


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README):
        assert target.startswith("https://") or Path(target).exists(), target
