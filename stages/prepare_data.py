"""Read the pictures and pack them into shards."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from sidetrip.config import Config, ConfigError, check_samples
from sidetrip.data.folders import Run, Split, check_readable
from sidetrip.data.packed import SPLITS, facts, shard_paths
from sidetrip.data.sources import Part, find
from sidetrip.files import read_table, write_json
from sidetrip.runtime.executor import Workplace, report_progress, run_units
from sidetrip.runtime.scratch import NamedPlaces, open_scratch
from sidetrip.runtime.stage import Tables, gather, publishing, stage

UNREADABLE = "unreadable"


def check_model(config: Config, channels: int, classes: int) -> None:
    """Refuse a model that does not take these pictures; shapes alone, nothing is computed."""
    import warnings

    import torch

    from sidetrip.models import build_model

    settings, size = config.model, config.data.size
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            model = build_model(
                settings.name, width=settings.width, stem=settings.stem, channels=channels, classes=classes, seed=0
            )
            logits = model(torch.empty(2, channels, size, size))
    except ValueError as error:
        raise ConfigError(f"model.name = {settings.name}: {error}") from error
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"model.name = {settings.name}: does not take pictures of {size} × {size} "
            f"pixels ({str(error).splitlines()[0]}); use another model or raise data.size"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        raise ConfigError(
            f"model.name = {settings.name}: gives more than the logits of {classes} classes; use another model"
        )


def unit(config: Config, part: Part, place: Workplace) -> Tables:
    """Pack a part; if some of its pictures cannot be read, a table of them is all that there is."""
    if part.first:
        check_model(config, part.channels, part.number_of_classes)
    unreadable = part.pack(config.data, place.result, report_progress)
    # A name need not be valid text, and is only shown.
    names = [os.fsencode(path).decode(errors="replace") for path in unreadable]
    return {UNREADABLE: pd.DataFrame({"file": names})} if names else {}


def check_all_readable(splits: Sequence[Split], parts: Sequence[Part], results: Sequence[Path]) -> None:
    """Name the pictures that cannot be read, of all parts of a split together; those parts are not finished."""
    unreadable: dict[str, list[str]] = {split.name: [] for split in splits}
    for part, result in zip(parts, results, strict=True):
        if isinstance(part, Run) and (table := result / f"{UNREADABLE}.csv").exists():
            unreadable[part.split] += read_table(table)["file"].tolist()
            shutil.rmtree(result)
    for split in splits:
        check_readable(split, unreadable[split.name])


@stage
def main(config: Config) -> None:
    with open_scratch(config, "prepare_data") as scratch:
        parts, splits = find(config.data)
        places = NamedPlaces(scratch.folder, [f"unit_{part.name}" for part in parts])
        # Decoding is work for processor cores, whatever trains.
        on_cores = replace(config, runtime=replace(config.runtime, device="cpu"))
        costs = [len(part) for part in parts]
        run_units(partial(unit, config), parts, costs, on_cores, "prepare_data", places, counted="picture")
        results = list(map(places.result, range(len(parts))))
        check_all_readable(splits, parts, results)
        shards = {split: [path for result in results for path in shard_paths(result, split)] for split in SPLITS}
        found = facts(shards)
        check_samples(config, found["train_samples"], found["validation_samples"])
        with publishing(config, "prepare_data", scratch) as folder:
            gather(results, folder)
            write_json(folder / "facts.json", found)


if __name__ == "__main__":
    main()
