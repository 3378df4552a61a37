"""What a stage's results depend on: code, settings, inputs, software, hardware."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache, reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from typing import Any

from sidetrip.config import Config
from sidetrip.engine.determinism import present_arithmetic
from sidetrip.files import SUMS, FileError, digest, files_in, listing
from sidetrip.yaml_files import read_yaml

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "pillow")
PROVENANCE = "provenance.json"  # of a unit or a stage: software and hardware that it was computed with
COMPUTED = ("runs", "reports")  # folders of what stages write


@cache
def pipeline() -> dict[str, Any]:
    """Stages of dvc.yaml by name."""
    path = Path("dvc.yaml")
    if not path.is_file():
        raise FileError(f"{path}: not there; run stages from the root of the repository")
    stages: dict[str, Any] = read_yaml(path)["stages"]
    return stages


def _declared(stage: str) -> dict[str, Any]:
    """What dvc.yaml says of a stage."""
    if stage not in pipeline():
        raise FileError(f"dvc.yaml: no stage {stage}; add it, with its deps, params and outs")
    found: dict[str, Any] = pipeline()[stage]
    return found


def _dependencies(stage: str, variant: str) -> list[str]:
    return [dep.replace("${item.variant}", variant) for dep in _declared(stage)["deps"]]


def code_digest(paths: Iterable[str]) -> str:
    """What `sha256sum FILES | sha256sum` prints for the sources among files and folders, sorted."""
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise FileError(f"{path}: not there; restore it with `git checkout {path}`")
        found |= set(files_in(path)) if path.is_dir() else {path}
    made = ("__pycache__", ".egg-info")  # by Python and pip
    return _digest(listing({file for file in found if not any(part.endswith(made) for part in file.parts)}, Path()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def software(device: str) -> dict[str, str]:
    """Versions, the arithmetic, and the kind of hardware of the device; nothing that names a machine."""
    import torch

    if device.startswith("cuda"):
        hardware = torch.cuda.get_device_name(torch.device(device))
    else:
        hardware = f"CPU, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    return versions() | {"arithmetic": present_arithmetic(), "hardware": hardware}


def sources(stage: str, variant: str) -> list[str]:
    """Declared dependencies of a stage that no stage writes."""
    return [dep for dep in _dependencies(stage, variant) if not dep.startswith(COMPUTED)]


def inputs(stage: str, variant: str) -> list[str]:
    """Declared dependencies of a stage that other stages write."""
    return [dep for dep in _dependencies(stage, variant) if dep.startswith(COMPUTED)]


def input_tables(stage: str, variant: str) -> list[Path]:
    """Every CSV file among the inputs of a stage, those in folders too."""
    found = []
    for path in map(Path, inputs(stage, variant)):
        found += [path] if path.suffix == ".csv" else sorted(path.glob("*.csv"))
    return found


def _input_digest(dep: str) -> str:
    path = Path(dep)
    if not path.exists():
        _, variant, stage, *_ = path.parts  # runs/<variant>/<stage>
        raise FileError(f"{path}: not there; run `dvc repro {stage}@{variant}`, which makes it")
    if path.is_dir() and (path / SUMS).is_file():
        return digest(path / SUMS)
    return digest(path) if path.is_file() else _digest(listing(files_in(path), path))


def provenance(config: Config, stage: str) -> dict[str, Any]:
    """What the results of a stage follow from, by its declaration in dvc.yaml: digests, and versions of software."""
    variant = config.variant
    # By dotted keys, of sections or of values in one.
    keys = [key for entry in _declared(stage).get("params", []) for listed in entry.values() for key in listed]
    values = asdict(config)
    settings = {key: reduce(getitem, key.split("."), values) for key in keys}
    return {
        "code": code_digest(sources(stage, variant)),
        "settings": _digest(json.dumps(settings, sort_keys=True)),
        "inputs": _digest("".join(f"{dep} {_input_digest(dep)}\n" for dep in inputs(stage, variant))),
        "versions": versions() | {"arithmetic": present_arithmetic()},
    }


def digest_of(found: dict[str, Any]) -> str:
    """One digest of a stage's provenance."""
    return _digest(json.dumps(found, sort_keys=True))
