"""Reading params.yaml, and what is refused in any file of settings because DVC would read it otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from sidetrip.config.errors import ConfigError, require, shown
from sidetrip.yaml_files import LOADER

OF_YAML_1_1 = re.compile(r"[-+]?0[0-9b].*|.*[_:].*")  # what it takes for a number beside the usual ones
MOST_ALIASES = 30  # so many can unfold to some tens of thousands of values, and no more
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def load_params(path: Path) -> DictConfig:
    """Read params.yaml: `active`, `base`, `variants`, `runtime`.

    Raises
    ------
    ConfigError
        If it is missing, not YAML, or no mapping; if DVC would read a value otherwise.
    """
    try:
        _check_text(path)
        params = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file here; run from the root of the repository, which holds it") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not valid YAML ({shown(error.problem)}); mend it") from error
    except ConfigError:
        raise
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise ConfigError(f"{path}: cannot be read ({shown(reason)}); mend it") from error
    if not isinstance(params, DictConfig):
        raise ConfigError(f"{path}: holds no mapping; it needs the keys active, base, variants")
    return params


def plain(params: DictConfig) -> dict[Any, Any]:
    """The values as Python's own types."""
    return cast(dict[Any, Any], OmegaConf.to_container(params))


def active_variants(params: DictConfig) -> list[str]:
    """The names under `active`, each of a variant that is there.

    Raises
    ------
    ConfigError
        If the list is empty, no list, or names an unknown variant or one twice.
    """
    values = plain(params)
    known, active = variants(values), values.get("active")
    remedy = f"list some of {shown(', '.join(known))}"
    if not isinstance(active, list) or not active:
        raise ConfigError(f"active = {shown(active)}: {remedy}")
    for name in active:
        require(isinstance(name, str) and name in known, "active", name, f"no such variant; {remedy}")
        require(active.count(name) == 1, "active", name, "list each variant once")
    return active


def variants(values: Mapping[Any, Any]) -> Mapping[str, Any]:
    """What each variant changes, by its name."""
    found = values.get("variants")
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"variants = {shown(found)}: use a mapping of names to what each changes")
    for name in found:
        require(isinstance(name, str), "variants", name, "the name of a variant is a text; put it in quotes")
    return found


def _check_text(path: Path) -> None:
    """Refuse aliases that could unfold to millions of values, and a value that DVC reads otherwise.

    DVC goes by YAML 1.2: 0040 is 40 there, and 32 here.
    """
    resolver = yaml.SafeLoader("")
    events = list(yaml.parse(path.read_text(encoding="utf-8"), LOADER))
    if sum(isinstance(event, yaml.AliasEvent) for event in events) > MOST_ALIASES:
        raise ConfigError(f"{path}: has more than {MOST_ALIASES} YAML aliases (*name); write the values themselves")
    for event in (event for event in events if isinstance(event, yaml.ScalarEvent)):
        where = f"{path}, line {event.start_mark.line + 1 if event.start_mark else 1}"
        if "${" in event.value:
            raise ConfigError(f"{where}: {shown(event.value)} stands for what DVC does not see; write the value itself")
        is_odd = event.implicit[0] and OF_YAML_1_1.fullmatch(event.value)
        if is_odd and resolver.resolve(yaml.ScalarNode, event.value, (True, False)) in NUMBERS:
            comma = " (a decimal comma? write a point: 0.05)" if event.value.isdecimal() else ""
            raise ConfigError(
                f"{where}: {event.value} is another number, or none, to DVC; write it in plain digits{comma}"
            )
