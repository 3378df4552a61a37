"""Read the pictures and pack them into shards."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from sidetrip.config import Config, check_samples
from sidetrip.data.account import account, check_not_all_constant, names_table, write_left_out
from sidetrip.data.folders import ShardFiles, Split, check_readable
from sidetrip.data.packed import SPLITS, gather_facts, shard_paths, write_facts
from sidetrip.data.sources import Part, find
from sidetrip.files import UnitFolders
from sidetrip.runtime.devices import on_cores, resolve_device
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.scratch import FoldersByName, open_scratch
from sidetrip.runtime.stage import join_results, output_folder, publishing, stage, title
from sidetrip.runtime.units import worker
from sidetrip.tables import read_table, write_table

UNREADABLE = "unreadable"


def unit(config: Config, part: Part, folders: UnitFolders) -> Mapping[str, pd.DataFrame]:
    """Pack a part; if some of its pictures cannot be read, a table of them is all that there is."""
    if part.first:
        import torch  # which packing can do without

        from sidetrip.engine.fitness import check_model

        device = "cpu" if config.runtime.on_cluster else resolve_device(config.runtime.device)
        check_model(config, part.channels, part.number_of_classes, torch.device(device))
    unreadable = part.pack(config.data, folders.result, worker().progressed)
    return {UNREADABLE: names_table(unreadable)} if unreadable else {}


def check_all_readable(splits: Sequence[Split], parts: Sequence[Part], results: Sequence[Path], written: Path) -> None:
    """List the pictures that cannot be read, of all parts of a split together; those parts are not finished."""
    unreadable: dict[str, list[tuple[str, str]]] = {split.name: [] for split in splits}
    for part, result in zip(parts, results, strict=True):
        if isinstance(part, ShardFiles) and (table := result / f"{UNREADABLE}.csv").exists():
            unreadable[part.split] += read_table(table).itertuples(index=False, name=None)
            shutil.rmtree(result)
    written.unlink(missing_ok=True)
    if everywhere := [row for rows in unreadable.values() for row in rows]:
        write_table(names_table(everywhere), written)
    for split in splits:
        check_readable(split, unreadable[split.name], written)


@stage
def main(config: Config) -> None:
    with open_scratch(config, "prepare_data") as scratch:
        parts, splits = find(config.data)
        folders = FoldersByName(scratch.folder, [f"unit_{part.name}" for part in parts])
        work, placed = [len(part) for part in parts], on_cores(config)
        run_units(partial(unit, config), parts, work, placed, title("prepare_data"), folders, "picture")
        results = [folders.of_unit(index).result for index in range(len(parts))]
        check_all_readable(splits, parts, results, scratch.folder.parent / f"{UNREADABLE}.csv")
        shards = {split: [path for result in results for path in shard_paths(result, split)] for split in SPLITS}
        found = gather_facts(shards)
        check_samples(config, found.train_samples, found.validation_samples)
        check_not_all_constant(config, found)
        with publishing(config, "prepare_data", scratch) as folder:
            join_results(results, folder)
            write_facts(found, folder)
            if splits:
                write_left_out(splits, folder)
        sys.stderr.write(account(found, splits, output_folder(config, "prepare_data")))


if __name__ == "__main__":
    main()
