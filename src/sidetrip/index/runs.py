"""The runs that the page over all variants judges: variants whose late trips differ in their seeds alone are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from sidetrip.config import Config
from sidetrip.report.render import DATA, NETWORKS, OPTIMIZERS
from sidetrip.verdicts.records import Table, Tables
from sidetrip.yaml_files import read_yaml


@dataclass(frozen=True)
class Run:
    """What a run trains, its data and network; its optimizer, and how that is set; with all variants that make it."""

    subject: str
    setting: str
    variants: tuple[str, ...]  # that with the lowest seed first, by whose name tables know the run
    config: Config  # of the first, with the seeds of all

    @property
    def name(self) -> str:
        """By which tables know it."""
        return self.variants[0]

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.config.seeds)

    @property
    def lines(self) -> tuple[str, str]:
        """All of it, in two lines."""
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        return self.subject, f"{self.setting}, {seeds}"

    @property
    def label(self) -> str:
        """All of it, with links."""
        return f"{', '.join(self.lines)} ({self.links})"

    @property
    def links(self) -> str:
        """To the reports of its variants."""
        return " · ".join(f"[{variant}]({variant}/README.md)" for variant in self.variants)


def read_settings(path: Path, base: DictConfig) -> Config:
    """The settings of a committed report, unchecked; a key that it lacks, being older, has its value of `base`."""
    return cast(Config, OmegaConf.merge(base, read_yaml(path)))


def with_seeds(settings: Config, seeds: Sequence[int]) -> Config:
    """The same settings, read by `read_settings`, with other seeds."""
    return cast(Config, OmegaConf.merge(cast(DictConfig, settings), {"seeds": sorted(set(seeds))}))


def runs_in_order(configs: Iterable[Config]) -> list[Run]:
    """The runs of all variants: constant rates, SGD and pictures come first.

    Runs whose labels are alike, though they differ, are told apart by SWA's widest window, else by their names.
    """
    by_trips: dict[object, list[Config]] = {}
    for config in sorted(configs, key=lambda each: (min(each.seeds), each.variant)):
        by_trips.setdefault(_trips_of(config), []).append(config)
    found = sorted((_run(alike) for alike in by_trips.values()), key=lambda run: (*_kind(run.config), run.name))
    found = _told_apart(found, lambda run: f"window {max(run.config.side_trips.windows)}")
    return _told_apart(found, lambda run: run.name)


def _told_apart(runs: list[Run], by: Callable[[Run], str]) -> list[Run]:
    """Those whose labels are alike, with what else they are known by, where that differs."""
    known: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        known.setdefault((run.subject, run.setting), set()).add(by(run))
    return [
        replace(run, setting=f"{run.setting}, {by(run)}") if len(known[run.subject, run.setting]) > 1 else run
        for run in runs
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
    config = with_seeds(alike[0], [seed for each in alike for seed in each.seeds])
    burn_in, data, network = config.burn_in, config.data.name, config.model.name
    schedule = "" if burn_in.schedule == "constant" else f", {burn_in.schedule}"
    decay = "" if burn_in.optimizer.weight_decay else ", weight decay 0"
    setting = f"{OPTIMIZERS[burn_in.optimizer.name]}, λ = {burn_in.rate:g}{schedule}{decay}"
    subject = f"{DATA.get(data, data)}, {NETWORKS.get(network, network)}"
    variants = tuple(each.variant for each in alike)
    return Run(subject, setting, variants, config)


def gathered(reports: Path, variants: Iterable[str]) -> Tables:
    """The tables of some variants, by name: each seed from the first that has it.

    One without seeds, as the analytic model has, is that of the first.
    """
    found: dict[str, list[Table]] = {}
    for path in (path for variant in variants for path in sorted((reports / variant / "tables").glob("*.csv"))):
        table, before = pd.read_csv(path), found.setdefault(path.stem, [])
        if "seed" in table:
            before.append(table[~table["seed"].isin({seed for each in before for seed in each["seed"]})])
        elif not before:
            before.append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}
