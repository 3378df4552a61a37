"""Merge base with one variant, check the result, write it out: configure.py VARIANT FILE."""

import sys
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sidetrip.config import ConfigError, resolve, save_config
from sidetrip.models import is_model


def main(variant: str, target: Path) -> None:
    try:
        params = OmegaConf.load("params.yaml")
        config = resolve(params, variant)  # type: ignore[arg-type]
        if not is_model(config.model.name):
            raise ConfigError(
                f"model.name = {config.model.name}: unknown model; use resnet8, resnet20 or a torchvision one"
            )
        if config.data.source == "folder" and not Path(config.data.root).is_dir():
            raise ConfigError(
                f"data.root = {config.data.root}: no such folder; put <split>/<class>/ folders of pictures there"
            )
        if config.runtime.device.startswith("cuda"):
            from sidetrip.runtime.devices import resolve_device  # loads torch, which "auto" and "cpu" can do without

            resolve_device(config.runtime.device)
    except (ConfigError, YAMLError, OmegaConfBaseException) as error:
        sys.exit(f"sidetrip: {' '.join(str(error).split())}")
    save_config(config, target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
