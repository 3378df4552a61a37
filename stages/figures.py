"""Draw the figures and judge the statements: tables of runs/<variant> to reports/<variant>."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
from pathlib import Path

from sidetrip.config import Config
from sidetrip.experiments.claims import derived, measure
from sidetrip.experiments.figures import figures
from sidetrip.experiments.series import series
from sidetrip.files import files_in, read_bytes, seal, write_bytes, write_json
from sidetrip.report import style
from sidetrip.runtime.provenance import input_tables
from sidetrip.runtime.stage import stage
from sidetrip.tables import read_table, write_table


@stage
def main(config: Config) -> None:
    target = Path("reports") / config.variant
    paths = input_tables("figures", config.variant)
    for path in paths:
        write_bytes(target / "tables" / path.name, read_bytes(path))
    tables = {path.stem: read_table(path) for path in paths}
    for name, table in derived(tables, config).items():
        write_table(table, target / "tables" / f"{name}.csv")
        tables[name] = table
    style.apply_style()
    for name, figure in figures(tables, config):
        style.save_figure(figure, target / "figures" / f"{name}.png")
    for name, table in series(tables, config).items():
        write_table(table, target / "plots" / f"{name}.csv")
    claims = measure(tables, config)
    write_json(target / "claims.json", claims)
    metrics = {row["id"]: row["value"] for row in claims if row["value"] is not None}
    write_json(target / "metrics.json", metrics)
    # What the report is made from, and what a reader may check: `sha256sum --check SHA256SUMS`.
    made = [*files_in(target / "tables"), *files_in(target / "figures"), *files_in(target / "plots")]
    seal(target, [*made, target / "claims.json", target / "metrics.json"])


if __name__ == "__main__":
    main()
