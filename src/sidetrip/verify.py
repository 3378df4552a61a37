"""Whether this machine computes the bytes of the committed results: `python -m sidetrip.verify`, or `make verify`.

Short runs of every kind are made anew, in the order in which they build on one another, and the digest of each is
compared with that in reports/verification.json. The first that differs says where this machine parts from the others.

    python -m sidetrip.verify --write    makes reports/verification.json anew

The networks are those whose digests were taken on another machine as well, with the same settings of the kernels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from sidetrip.config import Config, load_params, resolve
from sidetrip.console import command
from sidetrip.data import sources
from sidetrip.data.packed import SPLITS
from sidetrip.engine.determinism import PORTABLE, settle
from sidetrip.engine.lab import Lab
from sidetrip.engine.models import network
from sidetrip.experiments.claims import derived, measure
from sidetrip.experiments.registry import plans, shown
from sidetrip.experiments.units import Run
from sidetrip.files import UnitFolders, files_in, sealing, write_json
from sidetrip.report import style
from sidetrip.runtime.experiment import measure_in
from sidetrip.runtime.provenance import software
from sidetrip.runtime.units import Worker, become
from sidetrip.tables import write_table

COMMITTED = Path("reports/verification.json")
NETWORKS = (("resnet8", 14, 128, 1, 20), ("resnet8", 16, 64, 3, 20), ("resnet20", 32, 32, 3, 5))
LENGTH = 12  # hexadecimal digits of a digest

Digests = Iterator[tuple[str, str]]


def digest(*parts: bytes) -> str:
    """First digits of the SHA-256."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:LENGTH]


def of_network(config: Config, name: str, side: int, batch: int, channels: int, steps: int) -> Digests:
    """Weights drawn, first loss, and weights after some SGD steps of a network of width 16 on random pictures."""

    def bits(*tensors: torch.Tensor) -> str:
        return digest(*(tensor.detach().numpy().tobytes() for tensor in tensors))

    draw = np.random.Generator(np.random.Philox(7))
    title = f"{name}, {channels} x {side} x {side}, batch {batch}"
    model = network(replace(config, model=replace(config.model, name=name, width=16)), channels, classes=10)
    weights = list(model.parameters())
    optimizer = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=5e-4)
    yield f"{title}: weights drawn", bits(*weights)
    for step in range(1, steps + 1):
        pictures = draw.integers(0, 256, (batch, channels, side, side)).astype(np.float32) / 128 - 1
        inputs = torch.from_numpy(pictures).to(memory_format=torch.channels_last)
        loss = cross_entropy(model(inputs), torch.from_numpy(draw.integers(0, 10, batch)))
        if step == 1:
            yield f"{title}: first loss", bits(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (1, steps):
            yield f"{title}: weights after {step} steps", bits(*weights)


def pack(lab: Lab) -> Digests:
    """Pack the embedded pictures or text."""
    data = lab.config.data
    with sealing(lab.runs / "prepare_data") as folder:
        sources.pack(data, folder)
        for split in SPLITS:
            found = digest(*(file.read_bytes() for file in files_in(folder / split)))
            yield f"{'text' if data.is_text else 'pictures'} packed, {split}", found
        if not data.is_text:
            yield "their moments", digest((folder / "facts.json").read_bytes())


def of_text(folder: Path) -> Digests:
    """The text packed, and some AdamW steps of the decoder on it: settings of shakespeare, cut short."""
    config = resolve(load_params(Path("params.yaml")), "shakespeare")
    config = replace(config, burn_in=replace(config.burn_in, steps=20, warm_up=5, snapshot_every=20))
    lab = Lab(config, folder, torch.device("cpu"))
    yield from pack(lab)
    with sealing(folder / "burn_in") as result:
        measure_in(lab, "burn_in", Run(config.seeds[0]), UnitFolders(result, folder / "progress"))
        for path in files_in(result):
            yield f"decoder: {path.relative_to(result).as_posix()}", digest(path.read_bytes())


def of_experiments(lab: Lab, tables: dict[str, pd.DataFrame]) -> Digests:
    """Every experiment of the smoke variant: its tables, and the states that it leaves."""
    for plan in plans():
        parts: dict[str, list[pd.DataFrame]] = {}
        with sealing(lab.runs / plan.name) as result:
            for unit in plan.units(lab.config):
                folders = UnitFolders(result, lab.runs / f"{plan.name}.progress" / str(hash(unit)))
                for name, table in measure_in(lab, plan.name, unit, folders).items():
                    parts.setdefault(name, []).append(table)
            for name, found in parts.items():
                tables[name] = pd.concat(found, ignore_index=True)
                write_table(tables[name], result / f"{name}.csv")
            for path in files_in(result):
                yield f"{plan.name}: {path.relative_to(result).as_posix()}", digest(path.read_bytes())


def of_pages(lab: Lab, tables: Mapping[str, pd.DataFrame]) -> Digests:
    """Derived tables, verdicts and figures."""
    found = dict(tables)
    for name, table in derived(found, lab.config).items():
        path = lab.runs / f"{name}.csv"
        write_table(table, path)
        found[name] = table
        yield f"verdicts: {name}", digest(path.read_bytes())
    yield "verdicts: claims", digest(json.dumps(measure(found, lab.config), sort_keys=True).encode())
    style.apply_style()
    for experiment in shown(lab.config):
        for name, figure in experiment.part("figure").draw(found, lab.config).items():
            path = lab.runs / f"{name}.png"
            style.save_figure(figure, path)
            yield f"figures: {name}", digest(path.read_bytes())


def all_digests(folder: Path) -> Digests:
    """What is compared, in the order in which it builds on one another; computed as it is asked for."""
    become(Worker(), "fp32")
    config = resolve(load_params(Path("params.yaml")), "smoke")
    for each in NETWORKS:
        yield from of_network(config, *each)
    yield from of_text(folder / "text")
    lab = Lab(replace(config, seeds=config.seeds[:3]), folder, torch.device("cpu"))
    tables: dict[str, pd.DataFrame] = {}
    yield from pack(lab)
    yield from of_experiments(lab, tables)
    yield from of_pages(lab, tables)


def compare(found: Digests, expected: Mapping[str, str]) -> list[str]:
    """Print each digest as it is known; the names of those that differ from what was committed."""
    differing = []
    for name, value in found:
        same = expected.get(name) == value
        sys.stdout.write(f"{'same   ' if same else 'DIFFERS'} {value}  {name}\n")
        sys.stdout.flush()
        if not same:
            differing.append(name)
    return differing


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, or write what is to be compared with."""
    parser = argparse.ArgumentParser(prog="python -m sidetrip.verify", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {COMMITTED}")
    options = parser.parse_args(arguments)
    settle(PORTABLE)
    with command(), tempfile.TemporaryDirectory() as folder:
        if options.write:
            write_json(COMMITTED, {"software": software("cpu"), "digests": dict(all_digests(Path(folder)))})
            return
        committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
        here = software("cpu")
        for name, value in committed["software"].items():
            if here[name] != value:
                sys.stdout.write(f"note: {name} is {here[name]} here, {value} where the digests were made\n")
        differing = compare(all_digests(Path(folder)), committed["digests"])
    if differing:
        sys.exit(f"sidetrip: {len(differing)} of {len(committed['digests'])} differ here, the first is: {differing[0]}")
    sys.stdout.write("sidetrip: this machine computes the committed bytes\n")


if __name__ == "__main__":
    main()
