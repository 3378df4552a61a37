"""Write reports/<variant>/README.md, and the index reports/README.md over every variant that has a report."""

from pathlib import Path

from sidetrip.config import Config
from sidetrip.data.packed import read_facts
from sidetrip.files import digest, read_json, read_table, write_bytes
from sidetrip.report.index import write_index
from sidetrip.report.render import Origin, render
from sidetrip.runtime.provenance import PROVENANCE, code_digest, inputs
from sidetrip.runtime.stage import stage


def origin(config: Config, target: Path) -> Origin:
    """Digests of code and settings, and the software that each stage ran on, stages of the same together."""
    software: dict[str, tuple[dict[str, str], list[str]]] = {}
    for path in map(Path, inputs("report", config.variant)):
        if path.name == PROVENANCE:
            for versions in read_json(path):
                software.setdefault(str(versions), (versions, []))[1].append(path.parent.name)
    return Origin(code_digest(["src", "stages"]), digest(target / "config.yaml"), list(software.values()))


@stage
def main(config: Config) -> None:
    reports = Path("reports")
    target = reports / config.variant
    tables = {path.stem: read_table(path) for path in sorted((target / "tables").glob("*.csv"))}
    facts = read_facts(Path("runs") / config.variant / "prepare_data")
    page = render(config, facts, tables, read_json(target / "claims.json"), origin(config, target))
    write_bytes(target / "README.md", page.encode())
    # Not outs of DVC: they cover variants that are committed but not active, whatever params.yaml lists.
    write_index(reports)


if __name__ == "__main__":
    main()
