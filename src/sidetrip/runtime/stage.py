"""What every stage script shares: Hydra, one-line errors, results put together."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from omegaconf import DictConfig

from sidetrip.config import Config, check_settings_folder, typed
from sidetrip.console import command
from sidetrip.engine.determinism import settle
from sidetrip.files import (
    SUMS,
    FileError,
    check,
    files_in,
    read_bytes,
    read_json,
    remove,
    sealing,
    write_bytes,
    write_json,
)
from sidetrip.runtime.provenance import PROVENANCE, code_digest, pipeline, sources
from sidetrip.runtime.scratch import Scratch
from sidetrip.tables import join_tables


def stage(function: Callable[[Config], None]) -> Callable[[], None]:
    """Make a stage's function the Hydra app of its script; what goes wrong outside is one line and exit status 2."""

    def main(cfg: DictConfig) -> None:
        with command():
            config = typed(cfg)
            settle(config.model.arithmetic)
            function(config)

    # Hydra looks for the config beside the function's module; -cd on the command line names the folder.
    app = hydra.main(version_base="1.3", config_path=None, config_name="config")(main)

    def script() -> None:
        with command():
            check_settings_folder(sys.argv[1:])
        app()

    return script


def title(name: str) -> str:
    """A stage's name, and its place among those of a variant, for the progress bar."""
    names = [stage for stage, declared in pipeline().items() if "matrix" in declared]
    return f"{name}, stage {names.index(name) + 1} of {len(names)}"


def output_folder(config: Config, name: str) -> Path:
    """runs/<variant>/<stage>."""
    return Path("runs") / config.variant / name


@contextmanager
def publishing(config: Config, name: str, scratch: Scratch) -> Iterator[Path]:
    """Yield a folder to fill; sealed, it becomes runs/<variant>/<stage>, and the scratch is dropped.

    Raises
    ------
    FileError
        If the code changed since the stage began: DVC, which hashes it when a stage ends, would record results of the
        old under the new.
    """
    folder = output_folder(config, name)
    for left in folder.parent.glob(f".*.{name}"):  # by a process that was killed; a stage has one writer
        remove(left)
    with sealing(folder) as target:
        yield target
        if code_digest(sources(name, config.variant)) != scratch.code:
            raise FileError(
                f"stage {name}: its code changed while it ran, so its results are dropped; run `dvc repro` again"
            )
    shutil.rmtree(scratch.folder, ignore_errors=True)


def join_results(results: Sequence[Path], target: Path) -> None:
    """Put the sealed results of units together: tables of one name joined in order, other files in their places."""
    tables: dict[Path, list[bytes]] = {}
    software: list[dict[str, str]] = []
    for folder in results:
        for path in files_in(folder):
            place = target / path.relative_to(folder)
            if path.suffix == ".csv":
                tables.setdefault(place, []).append(read_bytes(path))
            elif path.name == PROVENANCE:
                found = read_json(path)
                software += [found] if found not in software else []
            elif path.name != SUMS:
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(check(path), place)  # the scratch is removed at the end
                except OSError:
                    shutil.copyfile(path, place)
    for place, parts in tables.items():
        write_bytes(place, join_tables(parts))
    write_json(target / PROVENANCE, software)
