"""Which experiments have verdicts, figures and a section of the report, and the order in which they are shown.

They are found by their names: a module of verdicts/ with a `judge`, one of figures/ with a `draw`, a template in
report/sections/. So an experiment that is added is shown without being named anywhere else. Needs no torch.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

from sidetrip.config import Config

FIRST = ("single_step", "fixed_batch", "side_trips", "divergence", "alignment", "quadratic", "forecast")


def in_order(names: Iterable[str]) -> list[str]:
    """Names of experiments: those of the paper in its order, then the others by name."""
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def name_of(module: ModuleType) -> str:
    """The experiment that a module shows."""
    return module.__name__.rpartition(".")[2]


def measured(modules: Iterable[ModuleType], config: Config) -> list[ModuleType]:
    """Modules of the experiments that a variant has."""
    return [module for module in modules if name_of(module) not in config.left_out]


def providing(package: str, function: str) -> tuple[ModuleType, ...]:
    """The modules of a package that have a function of that name, in the order in which they are shown."""
    names = in_order(found.name for found in pkgutil.iter_modules(import_module(package).__path__))
    modules = (import_module(f"{package}.{name}") for name in names)
    return tuple(module for module in modules if hasattr(module, function))
