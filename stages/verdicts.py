"""Judge the statements: tables of runs/<variant> to runs/<variant>/verdicts, for people to reports/<variant>."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
from pathlib import Path

from sidetrip.config import Config
from sidetrip.experiments.claims import derived, measure
from sidetrip.files import files_in, read_bytes, sealing, write_bytes, write_json
from sidetrip.runtime.provenance import input_tables
from sidetrip.runtime.stage import output_folder, stage
from sidetrip.tables import read_table, write_table


@stage
def main(config: Config) -> None:
    paths, result = input_tables("verdicts", config.variant), output_folder(config, "verdicts")
    tables = {path.stem: read_table(path) for path in paths}
    with sealing(result) as folder:
        for path in paths:
            write_bytes(folder / "tables" / path.name, read_bytes(path))
        for name, table in derived(tables, config).items():
            write_table(table, folder / "tables" / f"{name}.csv")
            tables[name] = table
        claims = measure(tables, config)
        write_json(folder / "claims.json", claims)
        metrics = {row["id"]: row["value"] for row in claims if row["value"] is not None}
        write_json(folder / "metrics.json", metrics)
    for path in (*files_in(result / "tables"), result / "claims.json", result / "metrics.json"):
        write_bytes(Path("reports") / config.variant / path.relative_to(result), read_bytes(path))


if __name__ == "__main__":
    main()
