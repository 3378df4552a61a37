"""The command line of a stage, checked before Hydra sees it, whose own messages take six lines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sidetrip.config.errors import ConfigError, shown
from sidetrip.config.faults import check_key
from sidetrip.config.resolve import seal_line


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{shown(message)}; use -cd reports/VARIANT, then KEY=VALUE for what is to differ")


def _check_override(text: str, parser: _Parser) -> None:
    """Refuse what sets no key of a variant; `variant` is the name of its folders, and no setting."""
    try:
        found = OverridesParser.create().parse_override(text)
    except HydraException as error:
        parser.error(f"{text}: {str(error).splitlines()[0]}")
    if found.package is not None or found.is_delete() or found.is_sweep_override():
        parser.error(f"{text}: sets no single value")
    check_key(tuple(found.key_or_group.split(".")))


def check_settings_folder(arguments: Sequence[str]) -> None:
    """Refuse a stage's command line that names no folder with a whole config.yaml, or sets anything but settings."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))  # prints the settings
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args(arguments)
    for override in options.overrides:
        _check_override(override, parser)
    if options.config_dir is None:
        raise ConfigError("no settings; name the folder of a variant: -cd reports/VARIANT")
    path = Path(options.config_dir) / "config.yaml"
    remake = f"`dvc repro configure@{shown(path.parent.name)}`"
    if not path.is_file():
        raise ConfigError(f"{shown(path)}: missing; make it with {remake}")
    content = path.read_bytes()
    body = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
    if content != body + seal_line(body):
        raise ConfigError(
            f"{shown(path)}: damaged or edited by hand; edit params.yaml instead, and write it anew with {remake}"
        )
