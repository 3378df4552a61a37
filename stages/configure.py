"""Merge base with one variant, check the result, write it out: configure.py --variant NAME.

Without arguments, check every active variant and write nothing.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import yaml
from omegaconf import DictConfig

from sidetrip.config import Config, ConfigError, active_variants, load_params, of_variant, resolve, save_config
from sidetrip.config.known import KNOWN_DATASETS, OWN_NETWORKS, SOURCES
from sidetrip.console import command
from sidetrip.runtime.devices import resolve_device
from sidetrip.yaml_files import read_yaml


def check_network(config: Config, device: str) -> None:
    """Refuse a network of torchvision that there is not, or that known data cannot go through; ours take all data."""
    name = config.model.name
    if name in OWN_NETWORKS or name == "decoder":
        return
    import torchvision  # which takes seconds

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise ConfigError(f"model.name = {name}: unknown model; use resnet8, resnet20, decoder or a torchvision one")
    if SOURCES[config.data.source].names:
        import torch

        from sidetrip.checks.fitness import check_model

        known = KNOWN_DATASETS[config.data.name]
        check_model(config, known.channels, known.classes, torch.device(device))


def check_pictures(config: Config) -> None:
    """Refuse a `data.root` that does not do, unless nothing is to be read from there."""
    if not SOURCES[config.data.source].root:
        return
    from sidetrip.data.folders import check_root  # with pandas, which takes a while

    try:
        check_root(config.data)
    except ConfigError:
        if not is_packed(config):
            raise


def is_packed(config: Config) -> bool:
    """Whether DVC has recorded what it has packed with these settings: then it need not see the pictures again."""
    try:
        lock = read_yaml(Path("dvc.lock"))
        recorded = lock["stages"][f"prepare_data@{config.variant}"]["params"][f"reports/{config.variant}/config.yaml"]
        data = recorded["data"]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False
    return bool(data == json.loads(json.dumps(asdict(config.data))))  # with lists for tuples, as YAML has them


def resolve_here(params: DictConfig, variant: str) -> Config:
    """Resolve a variant, and check what this machine has to have for it: the model, the pictures, the device."""
    config = resolve(params, variant)
    runtime, device = config.runtime, "cpu"
    with of_variant(variant):
        check_pictures(config)
        if runtime.executor == "dask":
            from sidetrip.runtime.cluster import check_cluster  # needs a package that is optional

            check_cluster(runtime)
        if not runtime.on_cluster:  # whose workers tell of their devices
            device = resolve_device(runtime.device)
            if device == "cpu" and config.model.precision == "tf32":
                raise ConfigError("model.precision = tf32: this machine has no GPU; use fp32 or bf16")
        check_network(config, device)
    return config


def main(variant: str | None) -> None:
    params = load_params(Path("params.yaml"))
    if variant is None:
        for name in active_variants(params):
            resolve_here(params, name)
    else:
        save_config(resolve_here(params, variant), Path("reports") / variant / "config.yaml")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", help="write reports/VARIANT/config.yaml")
    with command():
        main(parser.parse_args().variant)
