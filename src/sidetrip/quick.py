"""A first result in minutes: python -m sidetrip.quick, or `make quick`.

DVC builds the variant `quick` in a folder of its own, which git ignores: links to the code and the data, and a
params.yaml in which that variant alone is active. So reports/ and dvc.lock stay as they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from omegaconf import DictConfig, OmegaConf

from sidetrip import repair
from sidetrip.config import Config, active_variants, load_params, resolve
from sidetrip.console import command
from sidetrip.engine.determinism import environment
from sidetrip.experiments.registry import shown
from sidetrip.files import read_json, write_bytes
from sidetrip.verdicts.records import NOT_MEASURED, SEEDS

VARIANT = FOLDER = "quick"
LINKED = ("dvc.yaml", ".dvcignore", "stages", "src", "datasets")


def place(params: DictConfig, folder: Path) -> None:
    """Make a folder in which DVC builds the variant alone; what an earlier call has built there stays."""
    folder.mkdir(exist_ok=True)
    for name in LINKED:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..", name))
    alone = OmegaConf.merge(params, {"active": [VARIANT]})
    write_bytes(folder / "params.yaml", OmegaConf.to_yaml(alone).encode())
    if not (folder / ".dvc").is_dir():
        Repo.init(str(folder), no_scm=True)


def verdict(row: Mapping[str, Any]) -> str:
    """A row of claims.json as a line; one seed knows no interval, and tests nothing."""
    found = "one seed, no test" if row["unit"] == SEEDS and row["n"] < 2 else row["verdict"]
    value = " ".join(filter(None, (f"{row['value']:.3g}", row["quantity"])))
    interval = "" if row["low"] is None or row["high"] is None else f" ({row['low']:.3g} to {row['high']:.3g})"
    part = f", {row['part']}" if row["part"] else ""
    return f"- {row['id']}: {found}, {value}{interval}{part}: {row['statement']}"


def lines(config: Config, claims: Sequence[Mapping[str, Any]], report: Path) -> Iterator[str]:
    """What was found, and where it is shown."""
    number = len(config.seeds)
    yield f"{number} seed{'s' if number > 1 else ''}, fewer than a verdict is to rest on: intervals are wide."
    yield from (verdict(row) for row in claims if row["verdict"] != NOT_MEASURED)
    yield f"{report}: these with criteria and figures."


def rest(configs: Sequence[Config]) -> str:
    """What `make repro` makes, as a line."""
    made = [
        f"{config.variant}, {len(config.seeds)} seeds ({', '.join(experiment.name for experiment in shown(config))})"
        for config in configs
    ]
    return f"`make repro` adds {'; '.join(made)}."


def main() -> None:
    """Build it, and say what was found and what is missing."""
    with command(stopped="stopped; `make quick` goes on from what is finished"):
        params = load_params(Path("params.yaml"))
        config = resolve(params, VARIANT)
        rebuilt = [resolve(params, name) for name in active_variants(params)]
        place(params, Path(FOLDER))
        os.chdir(FOLDER)
        repair.main()
        settings = environment(config.model.arithmetic, os.environ) | {"DVC_NO_ANALYTICS": "1"}
        status = subprocess.run(["dvc", "repro", f"report@{VARIANT}"], env=settings, check=False).returncode
        if status:
            sys.exit(status)
        report = Path("reports", VARIANT, "README.md")
        claims = read_json(report.with_name("claims.json"))
        found = [*lines(config, claims, Path(FOLDER) / report), rest(rebuilt)]
        sys.stdout.write("".join(f"{line}\n" for line in found))


if __name__ == "__main__":
    main()
