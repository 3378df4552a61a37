"""Merge snapshots of a run into the weights that a decay of the learning rate would have led to.

    python -m sidetrip.merge SNAPSHOT... --decay linear --over 1000 --output merged.safetensors

A snapshot is a safetensors file, a folder that holds one, a folder with an index of shards as Hugging Face writes it,
or a state that this package wrote. Its step is read from its name, or given with --steps. docs/merge.md has the rest.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray

from sidetrip.console import command
from sidetrip.files import FileError, replacing
from sidetrip.kernels import DECAYS, Kernel, Schedule
from sidetrip.snapshots import SnapshotAverage, nearest_average, relative_schedule
from sidetrip.tensor_files import INDEX_SUFFIX, Snapshot, TensorReader, read_snapshot
from sidetrip.weighted_sum import BATCHNORM, MergeReport, check_alike, is_training_state, write_merged

SHAPES: dict[str, Callable[[int], Schedule]] = {
    **DECAYS,
    "two-point": lambda k: Kernel.two_point(k).schedule(),
}
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
RECIPE = (
    "BatchNorm statistics are still those of the newest snapshot: before the merged model is used, load it and call "
    "sidetrip.measure.batchnorm.recalibrate(model, batches) or torch.optim.swa_utils.update_bn(loader, model)"
)
NAMED_STEP = re.compile(r"(?:step|steps|iter|iteration|checkpoint|ckpt)[-_=]?(\d+)(?![0-9]*[A-Za-z])", re.IGNORECASE)
SHARD = re.compile(r"-\d+-of-\d+$")
SHOWN_NAMES = 3  # of the tensors that were copied, for each reason

Vector = NDArray[np.float64]


def step_of(path: Path) -> int:
    """Step of a snapshot by its name, or by that of its folder.

    The number after "step", "iter", "checkpoint" or the like, or the only number that there is.

    Raises
    ------
    FileError
        If the name has no number, or several and none of them is marked.
    """
    own = path.name.removesuffix(INDEX_SUFFIX).removesuffix(".safetensors")
    if SHARD.search(own):
        raise FileError(f"{path}: is one of several shards; name its folder, or the index in it")
    for name in (own, path.absolute().parent.name):
        if marked := NAMED_STEP.findall(name):
            return int(marked[-1])
        numbers = re.findall(r"\d+", name)
        if len(numbers) == 1 and not re.search(r"\d[A-Za-z]", name):
            return int(numbers[0])
        if numbers:
            raise FileError(f"{path}: which number of {name} is its step is not clear; give the steps with --steps")
    raise FileError(f"{path}: has no step in its name; give the steps with --steps")


def sorted_snapshots(paths: Sequence[Path], steps: Sequence[int] | None) -> dict[int, Path | None]:
    """Paths of the snapshots by step, ascending; None for steps without a snapshot, of which a table can be asked.

    Raises
    ------
    FileError
        If files or steps are missing, or a step belongs to two snapshots.
    """
    for named in paths:
        if not named.exists():
            raise FileError(f"{named}: cannot be read (No such file or directory); check the path")
    if steps and paths and len(steps) != len(paths):
        raise FileError(f"--steps: {len(steps)} steps for {len(paths)} snapshots; give one for each, in their order")
    given = steps or [step_of(path) for path in paths]
    found: dict[int, Path | None] = {}
    placed: Sequence[Path | None] = paths or [None] * len(given)
    for step, path in zip(given, placed, strict=True):
        if step in found:
            raise FileError(f"step {step}: belongs to {found[step]} and to {path}; name one, or give --steps")
        found[step] = path
    return dict(sorted(found.items()))


def wanted_schedule(options: argparse.Namespace, own_rates: Vector | None, end: int) -> Schedule:
    """The schedule that the command line asks for.

    Raises
    ------
    FileError, ValueError
        If it does not say one.
    """
    if options.decay or options.ema is not None:
        if options.over is None:
            raise FileError("--over: not given; say over how many steps the learning rate decays")
        if options.decay:
            return SHAPES[options.decay](options.over)
        return Kernel.ema(options.over, options.ema).schedule()
    if options.multipliers:
        wanted = Schedule(numbers(options.multipliers))
    elif options.kernel:
        wanted = Kernel(numbers(options.kernel)).schedule()
    else:
        absolute = numbers(options.wanted_rates)
        if own_rates is None:
            raise FileError("--wanted-rates: needs the run's own rates; give them with --rates")
        if not len(absolute) <= end <= len(own_rates):
            raise FileError(
                f"--rates: {len(own_rates)} rates, where {len(absolute)} are wanted up to step {end}; "
                f"give those of steps 1..{end}, and no wanted ones before step 1"
            )
        wanted = relative_schedule(absolute, own_rates[end - len(absolute) : end])
    if options.over not in (None, wanted.steps):
        raise FileError(f"--over = {options.over}: the file gives {wanted.steps} steps; leave --over out")
    return wanted


def numbers(path: Path) -> Vector:
    """The numbers of a text file, one on each line.

    Raises
    ------
    FileError
        If there are none, or other things.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
        found = np.array([float(line) for line in lines])
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise FileError(f"{path}: not a list of numbers ({error}); write one on each line") from error
    if not len(found):
        raise FileError(f"{path}: has no numbers; write one on each line")
    return found


def table(average: SnapshotAverage) -> str:
    """Coefficients of the snapshots, the multiplier of each interval, and how good the answer is."""
    lines = ["    snapshot    coefficient   multiplier of the steps up to it"]
    levels = dict(zip(average.used[1:], average.levels, strict=True))
    for step, coefficient in zip(average.steps, average.coefficients, strict=True):
        level = f"{levels[step]:.6g}" if step in levels else "" if step in average.used else "not used"
        lines.append(f"{step:12d}   {coefficient:12.6g}   {level}".rstrip())
    lines.append(
        f"These coefficients stand for the multipliers beside them and realise {average.share:.2%} of the schedule: "
        f"root mean square distance {average.distance:.3g}, sum of |coefficients| {average.amplification:.6g}."
    )
    return "\n".join(lines)


def draw(average: SnapshotAverage, path: Path) -> None:
    """Draw the schedule asked for and the staircase that the average stands for.

    Raises
    ------
    FileError
        If the file cannot be written, or is of a kind that matplotlib does not write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
    edges = np.arange(average.begin, average.end + 1)
    axes.stairs(average.wanted, edges, baseline=None, color="#d1431f", label="asked for")
    axes.stairs(average.realised, edges, baseline=None, color="#0b72b5", label="what the average stands for")
    for step in average.used:
        axes.axvline(step, color="black", lw=0.6, ls=":")
    axes.set(xlabel="step (dotted: snapshots)", ylabel="multiplier of the learning rate")
    axes.legend(frameon=False)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=130)
    except ValueError as error:
        raise FileError(f"{path}: cannot be drawn ({error}); name a .png") from error
    finally:
        plt.close(figure)


def summary(report: MergeReport, output: Path, newest: int) -> str:
    """What became of the tensors, one line for each kind."""
    lines = [f"{output}: {report.averaged} tensors averaged"]
    for reason, names in report.copied.items():
        shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
        lines.append(f"not averaged but taken from step {newest}: {len(names)} tensors, {reason} ({shown})")
    if BATCHNORM in report.copied:
        lines.append(RECIPE)
    return "\n".join(lines)


def opened(snapshots: dict[int, Path], trust_names: bool) -> dict[int, Snapshot]:
    """Headers of the snapshots, checked against each other and against their steps.

    Raises
    ------
    FileError
        If one is missing, damaged or of another model, or says another step than its name.
    """
    found = {step: read_snapshot(path) for step, path in snapshots.items()}
    check_alike(list(found.values()))
    for step, snapshot in found.items():
        inside = _step_inside(snapshot)
        if trust_names and inside not in (None, step):
            raise FileError(f"{snapshot.path}: is of step {inside} by its tensor, {step} by its name; give --steps")
    return found


def _step_inside(snapshot: Snapshot) -> int | None:
    """The step that a training state holds itself."""
    step = snapshot.tensors.get("step")
    if step is None or not is_training_state(snapshot) or (step.dtype, step.elements) != ("I64", 1):
        return None
    raw = np.empty(8, dtype=np.uint8)
    with TensorReader(step) as reader:
        reader.read(raw)
    return int(raw.view("<i8")[0])


def check_output(output: Path | None, paths: Sequence[Path | None], snapshots: Sequence[Snapshot]) -> Path:
    """Refuse a target that is missing, a folder, or one of the snapshots.

    Raises
    ------
    FileError
        If it is.
    """
    if output is None:
        raise FileError("--output: not given; name the file to write, or use --dry-run")
    if output.is_dir():
        raise FileError(f"{output}: is a folder; name the file to write")
    inputs = {path for path in paths if path} | {t.path for snapshot in snapshots for t in snapshot.tensors.values()}
    if output.resolve() in {path.resolve() for path in inputs}:
        raise FileError(f"{output}: is one of the snapshots; write to another file")
    return output


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m sidetrip.merge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add("snapshots", nargs="*", type=Path, metavar="SNAPSHOT")
    add("--steps", type=int, nargs="+", metavar="STEP", help="steps of the snapshots, in their order")
    shape = found.add_mutually_exclusive_group(required=True)
    shape.add_argument("--decay", choices=SHAPES, help="shape of the decay, with --over")
    shape.add_argument("--ema", type=float, metavar="NEWEST", help="EMA with this weight of the newest iterate")
    shape.add_argument("--multipliers", type=Path, metavar="FILE", help="multiplier of each step of the window")
    shape.add_argument("--kernel", type=Path, metavar="FILE", help="averaging weights of the window's k + 1 iterates")
    shape.add_argument("--wanted-rates", type=Path, metavar="FILE", help="learning rate of each step, with --rates")
    add("--over", type=int, metavar="STEPS", help="length of the window")
    add("--end", type=int, metavar="STEP", help="snapshot at which the window ends (default: the newest)")
    add("--rates", type=Path, metavar="FILE", help="the run's own rate of its steps 1, 2, ... if it is not constant")
    add("--output", type=Path, metavar="FILE", help="safetensors file to write")
    add("--dtype", choices=DTYPES, help="type of the averaged tensors (default: as they are)")
    add("--dry-run", action="store_true", help="print the table, write no weights; --steps alone are enough")
    add("--picture", type=Path, metavar="FILE.png", help="draw the schedule asked for and the one realised")
    add("--accept-poor", action="store_true", help="write an average that stands for the schedule badly")
    return found


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises
    ------
    FileError, ValueError
        If something is wrong; no weights have been written then.
    """
    paths = sorted_snapshots(options.snapshots, options.steps)
    rates = numbers(options.rates) if options.rates else None
    end = max(paths, default=0) if options.end is None else options.end
    average = nearest_average(list(paths), wanted_schedule(options, rates, end), rates, options.end)
    needed = {step: path for step, path in paths.items() if path and step in average.used}
    if not needed and not options.dry_run:
        raise FileError("no snapshot is named; name them, or use --dry-run for the table of --steps")
    snapshots = opened(needed, trust_names=not options.steps) if needed else {}
    output = None if options.dry_run else check_output(options.output, list(paths.values()), list(snapshots.values()))
    if output and average.objections and not options.accept_poor:
        raise FileError(f"{average.objections[0]}, or --accept-poor")
    sys.stdout.write(f"{table(average)}\n")
    for warning in (*average.objections, *average.warnings):
        sys.stderr.write(f"sidetrip: {warning}\n")
    if options.picture:
        draw(average, options.picture)
    if output:
        coefficients = [float(c) for s, c in zip(average.steps, average.coefficients, strict=True) if s in snapshots]
        report = write_merged(snapshots, coefficients, output, DTYPES[options.dtype] if options.dtype else None)
        sys.stdout.write(f"{summary(report, output, average.end)}\n")
        for name in report.not_finite:
            sys.stderr.write(f"sidetrip: {name} holds values that are not finite; check whether the run diverged\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Merge, or say in one line what is wrong and leave with status 2."""
    options = parser().parse_args(arguments)
    with command(ValueError, stopped="stopped, nothing was written"), _cleaning_up_when_terminated():
        run(options)


@contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """Let a request to end (SIGTERM) unwind, so that the temporary file is removed."""

    def unwind(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


if __name__ == "__main__":
    main()
