"""Solve and simulate the analytic model."""

from sidetrip.config import Config
from sidetrip.experiments import analytic_model
from sidetrip.runtime.devices import make_deterministic
from sidetrip.runtime.stage import output_folder, stage
from sidetrip.runtime.tables import write_table


@stage
def main(config: Config) -> None:
    make_deterministic("fp32")
    for name, table in analytic_model.measure(config.quadratic).items():
        write_table(table, output_folder(config, "quadratic") / f"{name}.csv")


if __name__ == "__main__":
    main()
