"""The runs that the map and the first screen judge: variants whose late trips differ in their seeds alone are one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml
from omegaconf import DictConfig, OmegaConf

from sidetrip.config import Config
from sidetrip.report.render import DATA, NETWORKS, OPTIMIZERS
from sidetrip.verdicts.equivalence import average_is_schedule
from sidetrip.verdicts.equivalence_map import COLUMNS, map_points
from sidetrip.verdicts.records import NOT_MEASURED, Measured, Table
from sidetrip.verdicts.scores import at_widest


@dataclass(frozen=True)
class Run:
    """What a run trains: its data and network, its optimizer, and how that is set; with all variants that make it."""

    subject: str
    optimizer: str
    setting: str
    seeds: int
    variants: tuple[str, ...]  # that with the lowest seed first, by whose name tables know the run
    config: Config  # of the first

    @property
    def name(self) -> str:
        """By which tables know it."""
        return self.variants[0]

    @property
    def lines(self) -> tuple[str, str]:
        """All of it, in two lines."""
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        return self.subject, f"{self.optimizer}, {self.setting}, {seeds}"

    @property
    def links(self) -> str:
        """To the reports of its variants."""
        return " · ".join(f"[{variant}]({variant}/README.md)" for variant in self.variants)


def read_settings(path: Path) -> Config:
    """The settings of a committed report, unchecked: an older one need not have every key that there is now."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast(Config, OmegaConf.create(yaml.load(path.read_text(encoding="utf-8"), loader)))


def runs_in_order(configs: Iterable[Config]) -> list[Run]:
    """The runs of all variants: constant rates, SGD and pictures come first.

    Runs whose labels are alike, though they differ, are told apart by their names.
    """
    by_trips: dict[object, list[Config]] = {}
    for config in sorted(configs, key=lambda each: (min(each.seeds), each.variant)):
        by_trips.setdefault(_trips_of(config), []).append(config)
    found = sorted((_run(alike) for alike in by_trips.values()), key=lambda run: (*_kind(run.config), run.name))
    alike = Counter((run.subject, run.optimizer, run.setting) for run in found)
    return [
        replace(run, setting=f"{run.setting}, {run.name}")
        if alike[run.subject, run.optimizer, run.setting] > 1
        else run
        for run in found
    ]


def _trips_of(config: Config) -> str:
    """All that averages and trips from late branch points, and their verdicts, depend on but the seeds."""
    settings = cast(dict[str, Any], OmegaConf.to_container(cast(DictConfig, config)))
    found = {name: settings[name] for name in ("data", "model", "burn_in", "evaluation", "claims")}
    trips = {key: value for key, value in settings["side_trips"].items() if key != "every"}  # of running averages
    return repr((found, settings["branch"]["points"], trips))


def _kind(config: Config) -> tuple[bool, bool, bool]:
    burn_in = config.burn_in
    return burn_in.schedule != "constant", burn_in.optimizer.name == "adamw", config.model.name == "decoder"


def _run(alike: list[Config]) -> Run:
    config = alike[0]
    burn_in, data, network = config.burn_in, config.data.name, config.model.name
    schedule = "" if burn_in.schedule == "constant" else f", {burn_in.schedule}"
    decay = "" if burn_in.optimizer.weight_decay else ", weight decay 0"
    seeds = len({seed for each in alike for seed in each.seeds})
    setting = f"λ = {burn_in.rate:g}{schedule}{decay}"
    subject = f"{DATA.get(data, data)}, {NETWORKS.get(network, network)}"
    variants = tuple(each.variant for each in alike)
    return Run(subject, OPTIMIZERS[burn_in.optimizer.name], setting, seeds, variants, config)


def gathered(reports: Path, run: Run, name: str) -> Table:
    """A table of all variants of a run that have it, each seed from the first that has it; empty if none has."""
    found: list[Table] = []
    for variant in run.variants:
        path = reports / variant / "tables" / f"{name}.csv"
        if path.is_file():
            table = pd.read_csv(path)
            found.append(table[~table["seed"].isin({seed for each in found for seed in each["seed"]})])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def map_of(run: Run, points: Table, batch_losses: Table) -> Table:
    """What the map has of a run: `verdicts.equivalence_map.map_points` of all its seeds; empty without trips.

    Parameters
    ----------
    points, batch_losses : DataFrame
        The tables by_point and batch_losses, `gathered`.
    """
    return map_points(points, batch_losses, run.config) if len(points) else pd.DataFrame(columns=COLUMNS)


def verdicts_in_all_scores(run: Run, points: Table) -> dict[str, str]:
    """By method: whether average and trip are equal in all four scores, by all seeds of a run, from its by_point."""
    found = {}
    for method in points["kernel"].unique() if len(points) else ():
        scores = at_widest(points, method)
        judged = average_is_schedule(scores, int(scores["window_steps"].iloc[0]), run.config)
        found[str(method)] = judged.verdict if isinstance(judged, Measured) else NOT_MEASURED
    return found
