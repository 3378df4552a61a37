"""Units of work on whatever runs them: a pool of processes, or a Dask cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from sidetrip.config import Config, ConfigError
from sidetrip.files import UnitFolders, is_whole
from sidetrip.runtime.pool import WorkerKilledError, run_on_pool
from sidetrip.runtime.progress import progress_bar
from sidetrip.runtime.units import Function, Task

ATTEMPTS = 3  # of workers that are killed before any unit is finished


def run_units(
    function: Function,
    units: Sequence[Any],
    work: Sequence[int],
    config: Config,
    description: str,
    folders: Sequence[UnitFolders],
    counted: str,
) -> None:
    """Run `function` on each unit that is not finished yet; the results lie in its `folders`.

    A unit is a pure function of its inputs, so neither the number of workers nor the order in which
    they finish changes a result. The longest units start first, so that the workers end together.

    Parameters
    ----------
    function : callable
        Of a unit and its folders; returns tables by name. Importable by name in a fresh process.
    units, work, folders : sequences of equal length
        What to do, how much each is, and where it writes.
    config : Config
        Device, number of workers, precision.
    description, counted : str
        For the progress bar; the second says what `work` counts.

    Raises
    ------
    ConfigError
        If worker processes keep dying before any unit is finished.
    """
    run = run_on_pool
    if config.runtime.executor == "dask":
        from sidetrip.runtime.cluster import run_on_cluster as run  # needs a package that is optional
    tasks = [Task(function, *of_unit) for of_unit in zip(units, folders, work, strict=True)]
    tasks = sorted(_missing(tasks), key=lambda task: -task.work)
    failures, total = 0, sum(work)
    with progress_bar(total, total - _sum(tasks), description, counted) as bar:
        while tasks:
            try:
                run(tasks, config, bar)
            except WorkerKilledError as error:
                before, tasks = len(tasks), _missing(tasks)
                failures = failures + 1 if len(tasks) == before else 0
                if failures == ATTEMPTS:
                    raise ConfigError(
                        f"runtime.workers = {config.runtime.workers}: worker processes were lost {ATTEMPTS} times "
                        f"before a unit was finished, the last one {error}; use fewer workers or smaller batches"
                    ) from error
                tqdm.write(f"sidetrip: a worker process was {error}; going on from what is finished", file=sys.stderr)
                bar.n = total - _sum(tasks)
            else:
                return


def _missing(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if not is_whole(task.folders.result)]


def _sum(tasks: Sequence[Task]) -> int:
    return sum(task.work for task in tasks)
