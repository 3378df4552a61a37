"""Write reports/<variant>/README.md, and the index reports/README.md over every variant that has a report."""

import json
from pathlib import Path

import pandas as pd

from sidetrip.config import Config
from sidetrip.report import render, render_index
from sidetrip.runtime.stage import output_folder, stage


@stage
def main(config: Config) -> None:
    reports = Path("reports")
    target = reports / config.variant
    tables = {
        name: pd.read_csv(target / "tables" / f"{name}.csv") for name in ("single_step", "side_trips", "distances")
    }
    facts = json.loads((output_folder(config, "prepare_data") / "facts.json").read_text())
    claims = json.loads((target / "claims.json").read_text())
    (target / "README.md").write_text(render(config, facts, tables, claims))
    # Not an out of DVC: it covers variants that are committed but not active, whatever params.yaml lists.
    (reports / "README.md").write_text(render_index(reports))


if __name__ == "__main__":
    main()
