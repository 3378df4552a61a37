"""What every stage script shares: Hydra, one-line errors, where outputs go."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from omegaconf import DictConfig

from sidetrip.config import Config, ConfigError, typed


def stage(function: Callable[[Config], None]) -> Callable[[], None]:
    """Make a stage's function the Hydra app of its script; a ConfigError is one line and exit status 2."""

    @functools.wraps(function)
    def main(cfg: DictConfig) -> None:
        try:
            function(typed(cfg))
        except ConfigError as error:
            sys.stderr.write(f"sidetrip: {error}\n")
            sys.exit(2)

    # Hydra looks for the config beside the function's module; -cd on the command line names the folder.
    return hydra.main(version_base="1.3", config_path=None, config_name="config")(main)


def output_folder(config: Config, name: str) -> Path:
    """runs/<variant>/<stage>."""
    return Path("runs") / config.variant / name
