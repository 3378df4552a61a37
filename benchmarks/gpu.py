"""`python -m benchmarks.gpu`, or `make gpu`: all that a machine with a GPU can show, part by part, as one page.

Parts run one after another, each in a process of its own and within its share of ten minutes. A part that has passed
is not run again as long as code, settings, GPU and torch are the same: `make gpu` goes on where it was. The page is
written anew after each part: reports/gpu.md, to be committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sidetrip.console import command
from sidetrip.files import write_bytes, write_json
from sidetrip.runtime.devices import gpu_count
from sidetrip.runtime.provenance import code_digest, software

SECONDS = 590.0  # of all parts together
REPORT = Path("reports/gpu.md")
PASSED, FAILED, ENDED, WAITING = "passed", "failed", "ended at its time limit", "not run yet"
LONGEST = 20_000  # characters of a part's output that are kept, the last ones

HEAD = """# What a GPU showed

Written by `make gpu`; parts that failed or were not run are tried again by the next one.
{about}
"""


@dataclass(frozen=True)
class Part:
    """A part: its command, after the Python interpreter, and the most seconds that it may take."""

    name: str
    title: str
    command: Sequence[str]
    seconds: float
    ends_anywhere: bool = False  # whether to be ended at the limit is its aim: it goes on from there


OWN = ("-m", "benchmarks.gpu_parts")
PARTS = (
    Part("environment", "Environment", [*OWN, "environment"], 60.0),
    Part("operations", "Operations of the networks of params.yaml: forward, backward, double backward, twice alike",
         [*OWN, "operations"], 120.0),
    Part("tests", "Tests on the GPU", ["-m", "pytest", "tests/test_gpu.py", "-p", "no:cacheprovider"], 180.0),
    Part("bench", "Speed of cifar10: ResNet-34, batches of 512, 32 × 32, bfloat16",
         ["-m", "benchmarks", "--variant", "cifar10", "--random", "--device", "cuda", "--topics", "training",
          "evaluation", "--out", "scratch/gpu/bench.md"], 120.0),
    Part("profile", "Operations of a training step of cifar10", [*OWN, "profile"], 60.0),
    Part("stages", "First stages of cifar10", [*OWN, "stages"], 180.0, ends_anywhere=True),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    status: str = WAITING
    seconds: float = 0.0
    output: str = ""


def run(part: Part, seconds: float) -> Outcome:
    """Run a part for so many seconds at most; it ends with all that it has started."""
    began = time.monotonic()
    # DVC and pytest colour what they take for a terminal.
    environment = os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *part.command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        status = PASSED if process.returncode == 0 else f"{FAILED} with exit status {process.returncode}"
    except subprocess.TimeoutExpired:
        status = ENDED
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=10.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    lines = [line.rpartition("\r")[2] for line in output.strip().splitlines()]  # of a progress bar, its last state
    return Outcome(status, time.monotonic() - began, "\n".join(lines)[-LONGEST:])


def run_parts(parts: Sequence[Part], kept: Path, report: Path, about: str, seconds: float) -> list[Outcome]:
    """Run what has not passed by the outcomes that are kept, within so many seconds; write both after each part."""
    ends = time.monotonic() + seconds
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    outcomes = [Outcome(**known.get(part.name, {})) for part in parts]
    for index, part in enumerate(parts):
        left = min(part.seconds, ends - time.monotonic())
        if outcomes[index].status == PASSED or left <= 0:
            continue
        sys.stderr.write(f"{part.name}: {left:.0f} s at most\n")
        outcomes[index] = run(part, left)
        sys.stderr.write(f"{part.name}: {outcomes[index].status}\n")
        write_json(kept, {each.name: asdict(found) for each, found in zip(parts, outcomes, strict=True)})
        write_bytes(report, page(parts, outcomes, about).encode())
    return outcomes


def page(parts: Sequence[Part], outcomes: Sequence[Outcome], about: str) -> str:
    """The page: a table of the parts, and what each of them said."""
    lines = [HEAD.format(about=about), "| part | outcome | seconds |", "| --- | --- | ---: |"]
    lines += [f"| {p.name} | {o.status} | {o.seconds:.0f} |" for p, o in zip(parts, outcomes, strict=True)]
    for part, outcome in zip(parts, outcomes, strict=True):
        lines += ["", f"## {part.title}", "", "```text", outcome.output.replace("```", "'''") or outcome.status, "```"]
    return "\n".join(lines) + "\n"


def is_done(part: Part, outcome: Outcome) -> bool:
    """Whether nothing is left to be tried."""
    return outcome.status == PASSED or (part.ends_anywhere and outcome.status == ENDED)


def _kept() -> Path:
    """File of the outcomes of this code, these settings, this GPU and this software."""
    key = code_digest(["src", "stages", "params.yaml", "tests/test_gpu.py"]) + json.dumps(software("cuda"))
    return Path("scratch/gpu") / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def main() -> None:
    """Run what is left to run."""
    with command():
        if not gpu_count():
            sys.exit(
                "sidetrip: no GPU here that torch can use, so nothing was measured; run `make gpu` where there is one"
            )
        import torch

        about = f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, CUDA {torch.version.cuda}."
        outcomes = run_parts(PARTS, _kept(), REPORT, about, SECONDS)
    left = [part.name for part, outcome in zip(PARTS, outcomes, strict=True) if not is_done(part, outcome)]
    sys.stdout.write(f"{REPORT}\n")
    if left:
        sys.exit(f"sidetrip: {', '.join(left)}: not passed, see {REPORT}; `make gpu` tries again")


if __name__ == "__main__":
    main()
