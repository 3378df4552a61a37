"""`python -m sidetrip.benchmark`: measure, print and write the table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch

from sidetrip.benchmark import comparison, measurements, workers
from sidetrip.benchmark.table import Row, hardware, markdown
from sidetrip.benchmark.workplace import SIZES, Workplace, prepare
from sidetrip.files import write_bytes
from sidetrip.runtime.devices import resolve_device

TOPICS = {
    "training": measurements.training,
    "evaluation": measurements.evaluation,
    "sweep": measurements.sweep,
    "workers": workers.throughput,
    "start-up": workers.start_up,
    "memory": workers.memory,
    "comparison": comparison.averaging_comparison,
}

HEAD = """# Speed

Measured side by side in one run by `make bench`: medians over interleaved rounds, ratios paired within a round.
Variant {variant}, {size} size. {hardware}

Workers compute on one thread each. A floor is the network's own work and nothing else: the same model, batch size,
precision and threads, on batches that are already in memory. "Stock parts" is the averaging comparison as one would
write it with `DataLoader` (two workers), torchvision's transforms, `copy.deepcopy`, `AveragedModel`, `update_bn` and
`LambdaLR`, one trip for every kernel and window, on all cores: src/sidetrip/benchmark/stock.py."""


def measure(work: Workplace, topics: list[str]) -> list[Row]:
    """Rows of the topics, in the order given."""
    rows: list[Row] = []
    for topic in topics:
        sys.stderr.write(f"{topic}\n")
        rows += TOPICS[topic](work)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m sidetrip.benchmark", description=__doc__)
    parser.add_argument("--variant", default="fashion_mnist", help="of params.yaml")
    parser.add_argument("--size", choices=SIZES, default="full", help="smoke: seconds, its numbers mean nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--topics", nargs="+", choices=TOPICS, default=[*TOPICS], help="all by default")
    parser.add_argument("--out", type=Path, default=Path("reports/bench.md"))
    options = parser.parse_args(arguments)
    device = torch.device(resolve_device(options.device))
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(options.variant, Path(folder), device, SIZES[options.size])
        rows = measure(work, options.topics)
    about = hardware(device, len(os.sched_getaffinity(0)))
    page = markdown(rows, HEAD.format(variant=options.variant, size=options.size, hardware=about))
    write_bytes(options.out, page.encode())
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
