"""Write reports/<variant>/README.md with the digests of what lies beside it."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
from pathlib import Path

from sidetrip.config import Config
from sidetrip.data.packed import read_facts
from sidetrip.experiments.claims import statements
from sidetrip.experiments.sections import sections
from sidetrip.files import files_in, read_json, seal, write_bytes
from sidetrip.report.render import render
from sidetrip.runtime.provenance import PROVENANCE, inputs
from sidetrip.runtime.stage import output_folder, stage
from sidetrip.tables import read_table


def software_of(config: Config) -> list[tuple[dict[str, str], list[str]]]:
    """The software that the stages ran on, stages of the same together."""
    software: dict[str, tuple[dict[str, str], list[str]]] = {}
    for path in map(Path, inputs("report", config.variant)):
        if path.name == PROVENANCE:
            for versions in read_json(path):
                software.setdefault(str(versions), (versions, []))[1].append(path.parent.name)
    return list(software.values())


@stage
def main(config: Config) -> None:
    target = Path("reports") / config.variant
    judged = output_folder(config, "verdicts")
    tables = {path.stem: read_table(path) for path in sorted((judged / "tables").glob("*.csv"))}
    facts = read_facts(output_folder(config, "prepare_data"))
    claims, found = read_json(judged / "claims.json"), sections(tables, config)
    page = render(config, facts, claims, statements(), found, software_of(config))
    write_bytes(target / "README.md", page.encode())
    # What a reader may check: `sha256sum --check SHA256SUMS`.
    made = [path for folder in ("tables", "figures", "plots") for path in files_in(target / folder)]
    seal(target, [*made, target / "claims.json", target / "metrics.json"])


if __name__ == "__main__":
    main()
