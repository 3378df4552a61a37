"""Merge snapshots of a run into the weights that a decay of the learning rate would have led to.

    python -m sidetrip.merge SNAPSHOT... --decay linear --over 1000 --output merged.safetensors

Snapshots are safetensors: single files, folders with one, folders with an index of shards as Hugging Face writes them,
or this project's own. Their steps are the last numbers in their names, or those of --steps.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from sidetrip.files import FileError, replacing
from sidetrip.kernels import Kernel, Schedule
from sidetrip.snapshots import SnapshotAverage, nearest_average
from sidetrip.tensor_files import BLOCK, FLOATS, StoredTensor, encoded, header_bytes, read_snapshot

DECAYS = {"linear": Schedule.linear, "cosine": Schedule.cosine, "one_minus_sqrt": Schedule.one_minus_sqrt}
DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
RECIPE = (
    "recompute BatchNorm statistics on training batches before the merged model is used: "
    "sidetrip.measure.batchnorm.recalibrate(model, batches), or torch.optim.swa_utils.update_bn(loader, model)"
)

Snapshot = Mapping[str, StoredTensor]


def step_of(path: Path) -> int:
    """The last number in a snapshot's name.

    Raises
    ------
    FileError
        If there is none.
    """
    numbers = re.findall(r"\d+", path.name.removesuffix(".safetensors"))
    if not numbers:
        raise FileError(f"{path}: no step in its name; give the steps with --steps")
    return int(numbers[-1])


def is_averaged(name: str, tensor: StoredTensor) -> bool:
    """Whether a tensor is one of the weights: floating, no BatchNorm statistic, no optimizer state of our own files."""
    own = name.startswith(("buffers/", "momentum/"))
    return tensor.dtype in FLOATS and name.rpartition(".")[2] not in STATISTICS and not own


def check_alike(snapshots: Mapping[Path, Snapshot]) -> None:
    """Refuse snapshots whose names, shapes or types differ.

    Raises
    ------
    FileError
        At the first difference.
    """
    (first, reference), *others = snapshots.items()
    for path, found in others:
        if odd := sorted(reference.keys() ^ found.keys()):
            raise FileError(f"{path}: {len(odd)} tensors differ from those of {first}, the first is {odd[0]}")
        for name, tensor in found.items():
            mine, other = (tensor.dtype, tensor.shape), (reference[name].dtype, reference[name].shape)
            if mine != other:
                raise FileError(f"{path}: {name} is {mine[0]} {list(mine[1])}, in {first} {other[0]} {list(other[1])}")
    if unknown := [name for name, tensor in reference.items() if tensor.dtype.startswith("F8")]:
        raise FileError(f"{first}: {unknown[0]} has 8 bits, too few to average; merge the snapshots before rounding")


def blocks(tensors: Sequence[StoredTensor], coefficients: Sequence[float]) -> Iterator[np.ndarray]:
    """Σ_n c_n x_n in float64, block by block."""
    with ExitStack() as stack:
        files = [stack.enter_context(tensor.path.open("rb")) for tensor in tensors]
        for first in range(0, tensors[0].elements, BLOCK):
            count = min(BLOCK, tensors[0].elements - first)
            total = np.zeros(count)
            for tensor, file, coefficient in zip(tensors, files, coefficients, strict=True):
                total += coefficient * tensor.block(file, first, count)
            yield total


def write_merged(
    snapshots: Sequence[Snapshot], coefficients: Sequence[float], output: Path, dtype: str | None = None
) -> list[str]:
    """Write the average of snapshots as one safetensors file, whole or not at all.

    Parameters
    ----------
    snapshots : sequence of mapping
        Alike; the newest last.
    coefficients : sequence of float
        Of each; those of 0 are not read.
    output : Path
        Replaced at the end.
    dtype : str, optional
        "F64", "F32", "F16" or "BF16" for the averaged tensors; by default that which they have.

    Returns
    -------
    list of str
        Names of the tensors that were not averaged but taken from the newest snapshot.

    Raises
    ------
    FileError
        If a file cannot be read or written.
    """
    newest, copied = snapshots[-1], []
    kept = [(snapshot, c) for snapshot, c in zip(snapshots, coefficients, strict=True) if c]
    types = {n: (dtype if dtype and is_averaged(n, t) else t.dtype, t.shape) for n, t in newest.items()}
    _remove_left_over(output)
    with replacing(output) as temporary, temporary.open("wb") as file:
        file.write(header_bytes(types))
        for name, tensor in newest.items():
            if is_averaged(name, tensor):
                for block in blocks([snapshot[name] for snapshot, _ in kept], [c for _, c in kept]):
                    file.write(encoded(block, types[name][0]))
            else:
                copied.append(name)
                file.writelines(tensor.raw())
    return copied


def _remove_left_over(output: Path) -> None:
    """Remove what a merge that was killed has left beside its target."""
    for path in output.parent.glob(f".{platform.node()}.*.{output.name}"):
        owner = path.name.removeprefix(f".{platform.node()}.").partition(".")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists() and os.name == "posix":
            path.unlink(missing_ok=True)


def table(average: SnapshotAverage) -> str:
    """Coefficients of the snapshots, and the multiplier that each interval after them gets."""
    used = [step for step in average.steps if step >= average.begin]
    lines = ["snapshot at step   coefficient   multiplier on the rate since the snapshot before"]
    for step, coefficient in zip(average.steps, average.coefficients, strict=True):
        level = ""
        if step in used[1:]:
            level = f"{average.realised[step - average.begin - 1]:.6g}"
        lines.append(f"{step:16d}   {coefficient:11.6g}   {level or '-'}")
    lines.append(f"distance from the schedule asked for (root mean square of the multipliers): {average.distance:.3g}")
    lines.append(f"sum of the coefficients' sizes: {average.amplification:.6g}")
    return "\n".join(lines)


def draw(average: SnapshotAverage, path: Path) -> None:
    """Picture of the schedule asked for and of the staircase that the snapshots can stand for."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
    steps = np.arange(average.begin, average.begin + len(average.wanted))
    axes.step(steps, average.wanted, where="post", color="#d1431f", label="asked for")
    axes.step(steps, average.realised, where="post", color="#0b72b5", label="what the average stands for")
    for step in average.steps:
        if step >= average.begin:
            axes.axvline(step, color="black", lw=0.6, ls=":")
    axes.set(xlabel="step (dotted: snapshots)", ylabel="multiplier on the learning rate")
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, metadata={"Software": None})
    plt.close(figure)


def wanted_schedule(options: argparse.Namespace) -> Schedule:
    """The schedule that the command line asks for."""
    if options.multipliers:
        try:
            return Schedule(np.loadtxt(options.multipliers, ndmin=1))
        except (OSError, ValueError) as error:
            raise FileError(
                f"{options.multipliers}: not a list of numbers ({error}); one multiplier per line"
            ) from error
    if options.over is None or options.over < 1:
        raise FileError(f"--over = {options.over}: name the steps of the decay, at least 1")
    if options.ema is not None:
        return Kernel.ema(options.over, newest=options.ema).schedule()
    return DECAYS[options.decay](options.over)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m sidetrip.merge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("snapshots", nargs="+", type=Path)
    found.add_argument("--steps", type=int, nargs="+", help="of the snapshots, in their order")
    found.add_argument("--decay", choices=DECAYS, default="linear", help="shape of the decay (default: linear)")
    found.add_argument(
        "--ema", type=float, metavar="NEWEST", help="instead: the EMA with this weight of the newest iterate"
    )
    found.add_argument("--multipliers", type=Path, help="instead: a file with one multiplier per step")
    found.add_argument("--over", type=int, help="steps of the decay, which ends at the newest snapshot")
    found.add_argument("--output", type=Path, help="the safetensors file to write")
    found.add_argument("--dtype", choices=DTYPES, help="of the merged weights (default: as they are)")
    found.add_argument("--dry-run", action="store_true", help="print coefficients and schedule, write nothing")
    found.add_argument("--picture", type=Path, help="draw the schedule into this PNG")
    return found


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises
    ------
    FileError, ValueError
        Whatever is wrong, before anything is written.
    """
    paths: list[Path] = options.snapshots
    if options.steps and len(options.steps) != len(paths):
        raise FileError(f"--steps: {len(options.steps)} steps for {len(paths)} snapshots; give one for each")
    steps = dict(zip(paths, options.steps or map(step_of, paths), strict=True))
    ordered = sorted(paths, key=lambda path: steps[path])
    average = nearest_average([steps[path] for path in ordered], wanted_schedule(options))
    if not options.dry_run and options.output is None:
        raise FileError("--output: not given; name the file to write, or use --dry-run")
    snapshots = {path: read_snapshot(path) for path in ordered}
    check_alike(snapshots)
    sys.stdout.write(f"{table(average)}\n")
    for warning in average.warnings:
        sys.stderr.write(f"sidetrip: {warning}\n")
    if options.picture:
        draw(average, options.picture)
    if options.dry_run:
        return
    dtype = DTYPES[options.dtype] if options.dtype else None
    copied = write_merged(list(snapshots.values()), average.coefficients.tolist(), options.output, dtype)
    if copied:
        sys.stdout.write(f"taken from the newest snapshot, not averaged: {', '.join(copied)}\n")
    if any(name.rpartition(".")[2] in STATISTICS for name in copied):
        sys.stdout.write(f"{RECIPE}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Merge, or say in one line what is wrong."""
    try:
        run(parser().parse_args(arguments))
    except (FileError, ValueError) as error:
        sys.stderr.write(f"sidetrip: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
