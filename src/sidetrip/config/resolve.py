"""From params.yaml to a checked variant: merge base and variant, write; and back from Hydra in a stage."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from sidetrip.config.checks import check
from sidetrip.config.errors import ConfigError, of_variant, require, shown
from sidetrip.config.faults import one_line
from sidetrip.config.params import active_variants, load_params, plain, variants
from sidetrip.config.schema import Config, Runtime
from sidetrip.files import write_bytes

WHERE_IT_RUNS = [field.name for field in dataclasses.fields(Runtime)]
# What Hydra may override though no config.yaml holds it.
ConfigStore.instance().store(name="schema", node={"runtime": dict.fromkeys(WHERE_IT_RUNS, MISSING)})

# Head of every resolved config: no outputs/ folder, no .hydra/, no log files.
HYDRA: dict[str, Any] = {
    "defaults": [
        "schema",
        "_self_",
        {"override hydra/job_logging": "stdout"},
        {"override hydra/hydra_logging": "none"},
    ],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}
KEYS = ("active", "base", "variants", "runtime")
CONFIG = TypeAdapter(Config)


def resolve(params: DictConfig, variant: str) -> Config:
    """Merge `base` of params.yaml with one variant and check the result."""
    values = plain(params)
    for key in values:
        if key not in KEYS:
            raise ConfigError(f"{shown(key)}: unknown key in params.yaml; allowed are {', '.join(KEYS)}")
    active_variants(params)
    known = variants(values)
    if variant not in known:
        raise ConfigError(f"variants.{shown(variant)}: not in params.yaml; there are {shown(', '.join(known))}")
    merged = _merged({}, values.get("base") or {}, "base")
    changes = {} if known[variant] is None else known[variant]
    merged = _merged(merged, changes, f"variants.{variant}")
    for key in ("variant", "runtime"):  # the name under which the values stand; what no variant may depend on
        if key in merged:
            where = f"variants.{shown(variant)}" if key in changes else "base"
            raise ConfigError(f"{where}.{key}: unknown key there; take it out")
    runtime = _runtime(values)
    with of_variant(variant):
        return _checked({**merged, "variant": variant, "runtime": runtime}, changes)


def _merged(values: Mapping[str, Any], changes: Any, where: str) -> dict[str, Any]:
    """Sections key by key; a list replaces the list."""
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{shown(where)} = {shown(changes)}: use a mapping of keys to values")
    found = dict(values)
    for key, value in changes.items():
        here, both = found.get(key), isinstance(value, Mapping)
        found[key] = _merged(here, value, f"{where}.{key}") if both and isinstance(here, Mapping) else value
    return found


def _checked(values: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Config:
    """Values as a configuration; `changes` are those of its variant, where it is made from params.yaml."""
    try:
        # By way of JSON, where a list is what it is in YAML: strict types of Python tell lists from tuples.
        config = CONFIG.validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(one_line(error, changes, str(values["variant"]))) from error
    check(config)
    return config


def _runtime(values: Mapping[Any, Any]) -> dict[str, Any]:
    """`runtime` of params.yaml; what SIDETRIP_DEVICE, SIDETRIP_WORKERS and so on say in the environment wins."""
    found = _merged({}, values.get("runtime") or {}, "runtime")
    for key in WHERE_IT_RUNS:
        name = f"SIDETRIP_{key.upper()}"
        if name in os.environ:
            text = os.environ[name]
            require(key != "workers" or text.isdecimal(), name, text, "use a whole number")
            found[key] = int(text) if key == "workers" else text
    return found


def save_config(config: Config, path: Path) -> None:
    """Write a resolved configuration as the Hydra config of the later stages; where it runs is left out."""
    values = dataclasses.asdict(config)
    del values["runtime"]
    content = OmegaConf.to_yaml(OmegaConf.create({**HYDRA, **values})).encode()
    write_bytes(path, content + seal_line(content))


def seal_line(content: bytes) -> bytes:
    """Last line of a config.yaml, by which a stage knows that it is whole."""
    return f"# sha256 of the lines above: {hashlib.sha256(content).hexdigest()}\n".encode()


def typed(cfg: DictConfig) -> Config:
    """Turn what Hydra hands to a stage into a checked Config (overrides on the command line included).

    Where it runs is not in there: that is read from params.yaml and the environment.
    """
    try:
        values = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{shown(error.full_key)}: {shown(str(error).splitlines()[0])}; write the value") from error
    given = {key: value for key, value in _merged({}, values["runtime"], "runtime").items() if value != MISSING}
    return _checked({**values, "runtime": {**_runtime(plain(load_params(Path("params.yaml")))), **given}})
