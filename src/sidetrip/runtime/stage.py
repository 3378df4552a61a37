"""What every stage script shares: Hydra, one-line errors, units on workers, results put together."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import hydra
import pandas as pd
from omegaconf import DictConfig

from sidetrip.config import Config, ConfigError, check_settings_folder, typed
from sidetrip.files import SUMS, FileError, check, files_in, read_bytes, read_json, sealing, write_bytes, write_json
from sidetrip.runtime.executor import Workplace, run_units
from sidetrip.runtime.provenance import PROVENANCE
from sidetrip.runtime.scratch import Scratch, open_scratch

Unit = TypeVar("Unit")
Tables = dict[str, pd.DataFrame]


def stage(function: Callable[[Config], None]) -> Callable[[], None]:
    """Make a stage's function the Hydra app of its script; what goes wrong outside is one line and exit status 2."""

    @functools.wraps(function)
    def main(cfg: DictConfig) -> None:
        with _one_line_errors():
            function(typed(cfg))

    # Hydra looks for the config beside the function's module; -cd on the command line names the folder.
    app = hydra.main(version_base="1.3", config_path=None, config_name="config")(main)

    @functools.wraps(function)
    def script() -> None:
        _end_with_dvc()
        with _one_line_errors():
            check_settings_folder(sys.argv[1:])
        app()

    return script


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ConfigError, FileError) as error:
        sys.stderr.write(f"sidetrip: {error}\n")
        sys.exit(2)


def _end_with_dvc() -> None:
    """End this process when the dvc that started it is gone: the next one must not meet a second writer."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def output_folder(config: Config, name: str) -> Path:
    """runs/<variant>/<stage>."""
    return Path("runs") / config.variant / name


def run_stage(
    config: Config,
    name: str,
    function: Callable[[Unit, Workplace], Tables],
    units: Sequence[Unit],
    costs: Sequence[float],
    processes: int = 1,
) -> None:
    """Run `function` on each unit and publish what it returns and writes as runs/<variant>/<stage>.

    Tables of the same name are joined in the order of the units; other files keep their places. Units that
    an earlier, killed run has finished are not run again.

    Parameters
    ----------
    config : Config
        The resolved configuration.
    name : str
        Of the stage.
    function : callable
        Of a unit and its workplace; returns tables by name. Importable by name in a fresh process. It imports
        what needs torch itself: that takes seconds, and only workers have to.
    units, costs : sequences of equal length
        What to do, and about how many `report_progress` amounts each will report.
    processes : int
        That each unit goes over: `runtime.processes` where units train.

    Raises
    ------
    FileError
        If a file cannot be read or written, or the code changed meanwhile.
    """
    with open_scratch(config, name, processes) as scratch:
        run_units(function, units, costs, config, name, scratch, processes)
        with publishing(config, name, scratch) as target:
            gather([scratch.result(index) for index in range(len(units))], target)


@contextmanager
def publishing(config: Config, name: str, scratch: Scratch) -> Iterator[Path]:
    """Yield a folder to fill; sealed, it becomes runs/<variant>/<stage>, and the scratch is dropped.

    Raises
    ------
    FileError
        If the code changed since the stage began.
    """
    with sealing(output_folder(config, name)) as target:
        yield target
        scratch.check_code()
    scratch.remove()


def gather(results: Sequence[Path], target: Path) -> None:
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
                _move(check(path), place)
    for place, parts in tables.items():
        write_bytes(place, _joined(parts))
    write_json(target / PROVENANCE, software)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # the scratch is removed at the end
    except OSError:
        shutil.copyfile(source, target)


def _joined(parts: Sequence[bytes]) -> bytes:
    """CSV files with the same header one after another."""
    header, _, _ = parts[0].partition(b"\n")
    bodies = []
    for part in parts:
        here, _, body = part.partition(b"\n")
        assert here == header, "units of a stage make tables with the same columns"
        bodies.append(body)
    return header + b"\n" + b"".join(bodies)
