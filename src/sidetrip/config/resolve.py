"""From params.yaml to a checked variant: read, merge base and variant, write; and back from Hydra in a stage."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from sidetrip.config.checks import check
from sidetrip.config.errors import ConfigError, require, shown
from sidetrip.config.schema import Config, Runtime
from sidetrip.files import write_bytes

ConfigStore.instance().store(name="schema", node=Config)

# Head of every resolved config: no outputs/ folder, no .hydra/, no log files, types checked.
HYDRA: dict[str, Any] = {
    "defaults": [
        "schema",
        "_self_",
        {"override hydra/job_logging": "stdout"},
        {"override hydra/hydra_logging": "none"},
    ],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}
# Where params.yaml says nothing.
RUNTIME = {
    "device": "auto",
    "workers": 0,
    "processes": 1,
    "executor": "processes",
    "dask_address": "",
    "dask_scheduler_file": "",
}
OF_YAML_1_1 = re.compile(r"[-+]?0[0-9b].*|.*[_:].*")  # what it takes for a number beside the usual ones
TOO_DEEP = "nested too deeply, or an alias of what it stands in"
KEYS = ("active", "base", "variants", "runtime")
# What a scalar may be in YAML, and what to call it. A bool is an int to Python, but no number here.
SCALARS = {
    int: ((int,), "a whole number", "whole numbers"),
    float: ((int, float), "a number", "numbers"),
    bool: ((bool,), "true or false", ""),
    str: ((str,), "a text", ""),
}


def load_params(path: Path) -> DictConfig:
    """Read params.yaml: `active`, `base`, `variants`, `runtime`.

    Raises
    ------
    ConfigError
        If it is missing, not YAML, or no mapping.
    """
    try:
        params = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file here; run from the root of the repository, which holds it") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not valid YAML ({shown(error.problem)}); mend it") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: cannot be read ({TOO_DEEP}); mend it") from error
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise ConfigError(f"{path}: cannot be read ({shown(reason)}); mend it") from error
    if not isinstance(params, DictConfig):
        raise ConfigError(f"{path}: holds no mapping; it needs the keys active, base, variants")
    _check_numerals(path)
    return params


def _check_numerals(path: Path) -> None:
    """Refuse numbers that DVC, which goes by YAML 1.2, reads otherwise: 0040 is 40 there, and 32 here."""
    resolver = yaml.SafeLoader("")
    for event in yaml.parse(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and OF_YAML_1_1.fullmatch(event.value):
            tag = resolver.resolve(yaml.ScalarNode, event.value, (True, False))
            if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(
                    f"{path}, line {line}: {event.value} is another number, or none, to DVC; write it in plain digits"
                )


def active_variants(params: DictConfig) -> list[str]:
    """The names under `active`, each of a variant that is there.

    Raises
    ------
    ConfigError
        If the list is empty, no list, or names an unknown variant or one twice.
    """
    return _active(_plain(params))


def _active(plain: Mapping[Any, Any]) -> list[str]:
    variants, active = _variants(plain), plain.get("active")
    remedy = f"list some of {', '.join(variants)}"
    if not isinstance(active, list) or not active:
        raise ConfigError(f"active = {shown(active)}: {remedy}")
    for name in active:
        require(isinstance(name, str) and name in variants, "active", name, f"no such variant; {remedy}")
        require(active.count(name) == 1, "active", name, "list each variant once")
    return active


def resolve(params: DictConfig, variant: str) -> Config:
    """Merge `base` with one variant and check the result.

    Parameters
    ----------
    params : DictConfig
        Contents of params.yaml: `active`, `base`, `variants`.
    variant : str
        Name of the variant.

    Raises
    ------
    ConfigError
        On the first thing wrong.
    """
    plain = _plain(params)
    for key in plain:
        if key not in KEYS:
            raise ConfigError(f"{shown(key)}: unknown key in params.yaml; allowed are {', '.join(KEYS)}")
    _active(plain)
    variants = _variants(plain)
    if variant not in variants:
        raise ConfigError(f"variants.{shown(variant)}: not in params.yaml; there are {', '.join(variants)}")
    layers = {"base": plain.get("base"), f"variants.{variant}": variants[variant]}
    layers = {where: {} if values is None else values for where, values in layers.items()}  # empty: no change
    for where, values in layers.items():
        _check_types(where, "", values, Config)
    schema = OmegaConf.structured(Config(variant=variant))
    merged = OmegaConf.merge(schema, *layers.values(), {"runtime": _runtime(plain)})
    if holes := OmegaConf.missing_keys(merged):
        raise ConfigError(f"variant {variant}: {', '.join(sorted(holes))} not set; set it in base or in the variant")
    return typed(cast(DictConfig, merged))


def _runtime(plain: Mapping[Any, Any]) -> dict[str, Any]:
    """`runtime` of params.yaml; what SIDETRIP_DEVICE, SIDETRIP_WORKERS and so on say in the environment wins."""
    values = plain.get("runtime") or {}
    _check_types("runtime", "runtime", values, Runtime)
    found: dict[str, Any] = {**RUNTIME, **values}
    for key, kind in get_type_hints(Runtime).items():
        name = f"SIDETRIP_{key.upper()}"
        if name in os.environ:
            text = os.environ[name]
            require(kind is str or text.isdecimal(), name, text, f"use {SCALARS[kind][1]}")
            found[key] = kind(text)
    return found


def _plain(params: DictConfig) -> dict[Any, Any]:
    try:
        return cast(dict[Any, Any], OmegaConf.to_container(params, resolve=True))
    except OmegaConfBaseException as error:
        reason = shown(str(error).splitlines()[0])
        raise ConfigError(f"{error.full_key or 'params.yaml'}: {reason}; write the value itself") from error


def _variants(plain: Mapping[Any, Any]) -> Mapping[str, Any]:
    variants = plain.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"variants = {shown(variants)}: use a mapping of names to what each changes")
    for name in variants:
        require(isinstance(name, str), "variants", name, "the name of a variant is a text; put it in quotes")
    return variants


def _check_types(where: str, parent: str, values: Any, section: Any) -> None:
    """Refuse unknown keys and values of the wrong type."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} = {shown(values)}: use a mapping of keys to values")
    types = get_type_hints(section)
    for key in ("variant", "runtime"):  # the name under which the values stand; what no variant may depend on
        types.pop(key, None)
    for key, value in values.items():
        if key not in types:
            raise ConfigError(
                f"{where}.{shown(key)}: unknown key; allowed in {parent or 'a variant'} are {', '.join(types)}"
            )
        name, expected = f"{where}.{key}", types[key]
        if dataclasses.is_dataclass(expected):
            _check_types(name, key, value, expected)
        elif isinstance(value, list) and get_args(expected):
            for item in value:
                _check_scalar(name, item, get_args(expected)[0])
        elif get_args(expected):
            require(False, name, value, f"use a list of {SCALARS[get_args(expected)[0]][2]}")
        else:
            _check_scalar(name, value, expected)


def _check_scalar(name: str, value: Any, expected: type) -> None:
    allowed, title, _ = SCALARS[expected]
    require(type(value) in allowed, name, repr(value) if isinstance(value, str) else value, f"use {title}")


def save_config(config: Config, path: Path) -> None:
    """Write a resolved configuration as the Hydra config of the later stages; where it runs is left out.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    values = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))
    del values["runtime"]
    content = OmegaConf.to_yaml(OmegaConf.create({**HYDRA, **values})).encode()
    write_bytes(path, content + _seal(content))


def _seal(content: bytes) -> bytes:
    """Last line of a config.yaml, by which a stage knows that it is whole."""
    return f"# sha256 of the lines above: {hashlib.sha256(content).hexdigest()}\n".encode()


def typed(cfg: DictConfig) -> Config:
    """Turn what Hydra hands to a stage into a checked Config (overrides on the command line included).

    Where it runs is not in there: that is read from params.yaml and the environment.
    """
    if holes := [key for key in OmegaConf.missing_keys(cfg) if key.startswith("runtime.")]:
        found = _runtime(_plain(load_params(Path("params.yaml"))))
        given = {key: found[key] for key in (hole.removeprefix("runtime.") for hole in holes)}
        cfg = cast(DictConfig, OmegaConf.merge(cfg, {"runtime": given}))
    try:
        config = OmegaConf.to_object(cfg)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: not set; write config.yaml anew with `dvc repro configure`") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {shown(str(error).splitlines()[0])}") from error
    assert isinstance(config, Config)
    check(config)
    return config


def check_settings_folder(arguments: Sequence[str]) -> None:
    """Refuse a stage's command line that names no folder with a whole config.yaml; Hydra's own message takes six lines.

    Raises
    ------
    ConfigError
        If -cd is missing, or its folder holds no config.yaml, or one that `save_config` did not write like that.
    """
    folder = next((after for flag, after in pairwise(arguments) if flag in ("-cd", "--config-dir")), None)
    if folder is None:
        if not any(argument.startswith("-") for argument in arguments):  # --help and the like are Hydra's
            raise ConfigError("no settings; name the folder of a variant: -cd reports/VARIANT")
        return
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{path}: missing; make it with `dvc repro configure@{Path(folder).name}`")
    content = path.read_bytes()
    body = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
    if content != body + _seal(body):
        raise ConfigError(
            f"{path}: damaged or edited by hand; edit params.yaml instead, and write it anew with "
            f"`dvc repro configure@{Path(folder).name}`"
        )
