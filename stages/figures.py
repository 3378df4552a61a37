"""Draw the figures, and the main curves as data: tables of runs/<variant>/verdicts to reports/<variant>."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
from functools import partial
from pathlib import Path

from sidetrip.config import Config
from sidetrip.experiments.registry import Experiment, shown
from sidetrip.runtime.pool import on_all_cores
from sidetrip.runtime.stage import output_folder, stage

# What drawing takes seconds to load; once, by the process that those that draw are forked from.
LOADED = ["sidetrip.runtime.stage", "sidetrip.experiments.series"]


def make(config: Config, experiment: Experiment | None) -> None:
    """Make the figures of an experiment; of none, the curves."""
    from sidetrip.experiments.series import series
    from sidetrip.report import style
    from sidetrip.tables import read_table, write_table

    target, folder = Path("reports") / config.variant, output_folder(config, "verdicts") / "tables"
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.csv"))}
    if experiment is None:
        for name, table in series(tables, config).items():
            write_table(table, target / "plots" / f"{name}.csv")
        return
    style.apply_style()
    for name, figure in experiment.part("figure").draw(tables, config).items():
        style.save_figure(figure, target / "figures" / f"{name}.png")


@stage
def main(config: Config) -> None:
    on_all_cores(partial(make, config), [*shown(config), None], config, LOADED)


if __name__ == "__main__":
    main()
