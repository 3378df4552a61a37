"""Read the pictures or the text and pack them into arrays."""

import sidetrip.runtime.starting  # noqa: F401, a Ctrl-C is one line from here on

# isort: split
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from sidetrip.config import Config, check_samples
from sidetrip.data import account
from sidetrip.data.packed import write_facts
from sidetrip.data.sources import Part, facts_of, find
from sidetrip.data.text import samples
from sidetrip.files import UnitFolders
from sidetrip.runtime.devices import on_cores
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.scratch import open_scratch, unit_folders
from sidetrip.runtime.stage import join_results, output_folder, publishing, stage, title
from sidetrip.runtime.units import worker
from sidetrip.tables import read_table, write_table


def unit(config: Config, part: Part, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Pack a part; what cannot be read or is odd becomes tables."""
    odd = part.pack(config.data, folders.result, worker().progress.add)
    return {name: account.names_table(rows) for name, rows in odd.items()}


def rows(results: Sequence[Path], name: str) -> list[tuple[str, str]]:
    """Of a table of files and reasons, those of all results that have it."""
    tables = [read_table(path) for result in results if (path := result / f"{name}.csv").exists()]
    return [row for table in tables for row in table.itertuples(index=False, name=None)]


@stage
def main(config: Config) -> None:
    with open_scratch(config, "prepare_data") as scratch:
        parts, left_out = find(config.data)
        folders = [unit_folders(scratch.folder, f"unit_{part.name}") for part in parts]
        work, placed = [len(part) for part in parts], on_cores(config)
        counted = "byte" if config.data.is_text else "picture"
        run_units(partial(unit, config), parts, work, placed, title("prepare_data"), folders, counted)
        results = [each.result for each in folders]
        unreadable, remarks = rows(results, account.UNREADABLE), rows(results, account.REMARKS)
        for result in results:
            if (result / f"{account.UNREADABLE}.csv").exists():
                shutil.rmtree(result)  # so that the next start packs this part again
        account.check_readable(config, unreadable, sum(work), scratch.folder.parent)
        found = facts_of(config.data, results)
        check_samples(config, *samples(found, config.data))
        with publishing(config, "prepare_data", scratch) as folder:
            join_results(results, folder)
            write_facts(found, folder)
            if left_out:
                write_table(account.names_table(left_out), folder / f"{account.LEFT_OUT}.csv")
        sys.stderr.write(account.account(found, left_out, remarks, output_folder(config, "prepare_data")))


if __name__ == "__main__":
    main()
