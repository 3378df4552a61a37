"""`python -m benchmarks`: measure, print and write the table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import measurements, stock, workers
from benchmarks.input import parser, prepared
from benchmarks.table import Row, hardware, markdown
from sidetrip.config import Config, ConfigError
from sidetrip.console import command
from sidetrip.files import write_bytes

TOPICS = {
    "training": measurements.training,
    "evaluation": measurements.evaluation,
    "sweep": measurements.sweep,
    "workers": workers.throughput,
    "start-up": workers.start_up,
    "memory": workers.memory,
    "comparison": stock.averaging_comparison,
}

HEAD = """# Speed

Measured side by side in one run by `make bench`: medians over interleaved rounds, ratios paired within a round.
Variant {variant}, {size} size. {hardware}

Workers compute on one thread each. A floor is the network's own work and nothing else: the same model, batch size,
precision and threads, on batches that are already in memory. "Stock parts" is the averaging comparison as one would
write it with `DataLoader` (two workers), torchvision's transforms, `copy.deepcopy`, `AveragedModel`, `update_bn` and
`LambdaLR`, one trip for every kernel and window, on all cores: benchmarks/stock.py. Of three settings
(memory format, threads) the one that is fastest on short windows is taken.
The floor of the single step is its forward passes alone. The sweep takes gradients and exact second derivatives of
every own batch besides, 8 % of its time; moving the weights and loading batches take 4 % (AMD EPYC, Zen 4)."""


def topics_of(config: Config, asked: list[str] | None) -> list[str]:
    """The topics that are asked for, or all that the variant has; stock parts are of pictures."""
    if config.data.is_text and "comparison" in (asked or ()):
        raise ConfigError(f"--topics comparison: {config.variant} is of text, stock parts of pictures; leave it out")
    return asked or [topic for topic in TOPICS if not (config.data.is_text and topic == "comparison")]


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure, write."""
    known = parser("benchmarks", __doc__)
    known.add_argument("--topics", nargs="+", choices=TOPICS, help="all by default; of a text all but comparison")
    known.add_argument("--out", type=Path, default=Path("reports/bench.md"))
    options = known.parse_args(arguments)
    rows: list[Row] = []
    with command(), prepared(options.variant, options.device, options.size, options.random) as work:
        for topic in topics_of(work.config, options.topics):
            sys.stderr.write(f"{topic}\n")
            rows += TOPICS[topic](work)
        about = hardware(work.device, len(os.sched_getaffinity(0)))
        page = markdown(rows, HEAD.format(variant=options.variant, size=options.size, hardware=about))
        write_bytes(options.out, page.encode())
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
