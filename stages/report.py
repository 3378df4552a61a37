"""Write reports/<variant>/README.md, and the index reports/README.md over every variant that has a report."""

from pathlib import Path
from typing import Any

from sidetrip.config import Config
from sidetrip.files import digest, read_json, read_table, write_bytes
from sidetrip.report import render, render_index
from sidetrip.runtime.provenance import PROVENANCE, code_digest
from sidetrip.runtime.stage import output_folder, stage

TABLES = ("single_step", "side_trips", "distances")
COMPUTING = (
    "prepare_data",
    "burn_in",
    "branch",
    "single_step",
    "side_trips",
    "fixed_batch",
    "divergence",
    "alignment",
    "quadratic",
)


def provenance(config: Config, target: Path) -> dict[str, Any]:
    """Digests of code and settings, and the software that each stage ran on, stages of the same together."""
    software: dict[str, tuple[dict[str, str], list[str]]] = {}
    for name in COMPUTING:
        for versions in read_json(output_folder(config, name) / PROVENANCE):
            software.setdefault(str(versions), (versions, []))[1].append(name)
    return {
        "code": code_digest(["src", "stages"]),
        "settings": digest(target / "config.yaml"),
        "software": list(software.values()),
    }


@stage
def main(config: Config) -> None:
    reports = Path("reports")
    target = reports / config.variant
    tables = {name: read_table(target / "tables" / f"{name}.csv") for name in TABLES}
    facts = read_json(output_folder(config, "prepare_data") / "facts.json")
    claims = read_json(target / "claims.json")
    page = render(config, facts, tables, claims, provenance(config, target))
    write_bytes(target / "README.md", page.encode())
    # Not an out of DVC: it covers variants that are committed but not active, whatever params.yaml lists.
    write_bytes(reports / "README.md", render_index(reports).encode())


if __name__ == "__main__":
    main()
