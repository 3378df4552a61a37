"""Merge snapshots of a run into the weights that a decay of the learning rate would have led to.

    python -m sidetrip.merge SNAPSHOT... --decay linear --over 1000 --output merged.safetensors

A snapshot is a safetensors file, a folder that holds one, a folder with an index of shards as Hugging Face writes it,
or a state that this package wrote; a folder of snapshots stands for all of them. Their steps are read from their names,
or given with --steps. docs/merge.md has the rest. numpy and safetensors are all that it needs.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from filecmp import cmpfiles
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidetrip.console import command, printable
from sidetrip.files import FileError, replacing
from sidetrip.kernels import DECAYS, Kernel, Schedule
from sidetrip.merged_output import check_output, companions, write_merged
from sidetrip.snapshot_paths import passed_over, sorted_snapshots
from sidetrip.snapshots import SnapshotAverage, nearest_average, relative_schedule
from sidetrip.tensor_files import SUFFIX, Snapshot, StoredTensor, read_snapshot, stored_bytes
from sidetrip.tensor_kinds import BATCHNORM, are_averages, check_alike, is_training_state, reasons_to_copy

SHAPES: dict[str, Callable[[int], Schedule]] = {**DECAYS, "two-point": lambda k: Kernel.two_point(k).schedule()}
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
ADVICE = "bfloat16 was kept, which rounds the average off again: --dtype float32 keeps twice as much of it"
AVERAGES = (
    "averages of iterates already, by n_averaged or merged_steps in them, which the table takes for iterates: {}; "
    "merge the run's own weights"
)
FORECAST = "What would a decay from here on give, and is it worth it? python -m sidetrip.forecast, see docs/forecast.md"
SHOWN_NAMES = 3  # of a list

Vector = NDArray[np.float64]


def _window(options: argparse.Namespace, end: int) -> int | None:
    """The number of steps that --over asks for: steps, a percentage of those up to `end`, or tokens."""
    text, tokens = options.over, options.tokens_per_step
    if text is None:
        return None
    remedy = "give steps (1000), a part of the run (10%), or tokens (5e9) with --tokens-per-step"
    try:
        if text.endswith("%"):
            found = round(float(text[:-1]) / 100.0 * end)
        else:
            found = int(text) if tokens is None else round(float(text) / tokens)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise FileError(f"--over {text}: {remedy}") from error
    if found < 1 or (text.endswith("%") and tokens is not None):
        raise FileError(f"--over {text}{f', --tokens-per-step {tokens:g}' if tokens is not None else ''}: {remedy}")
    return found


def _wanted_schedule(options: argparse.Namespace, own_rates: Vector | None, end: int) -> Schedule:
    over = _window(options, end)
    if options.decay or options.ema is not None:
        if over is None:
            raise FileError("--over: not given; say over how many steps the learning rate decays")
        return SHAPES[options.decay](over) if options.decay else Kernel.ema(over, options.ema).schedule()
    if file := options.multipliers or options.kernel:
        try:
            wanted = Schedule(_numbers(file)) if options.multipliers else Kernel(_numbers(file)).schedule()
        except ValueError as error:
            raise FileError(f"{file}: {error}") from error
    else:
        absolute = _numbers(options.wanted_rates)
        if own_rates is None:
            raise FileError("--wanted-rates: needs the run's own rates; give them with --rates")
        if not len(absolute) <= end <= len(own_rates):
            raise FileError(
                f"--rates: {len(own_rates)} rates, where {len(absolute)} are wanted up to step {end}; "
                f"give those of steps 1..{end}, and no wanted ones before step 1"
            )
        wanted = relative_schedule(absolute, own_rates[end - len(absolute) : end])
    if over not in (None, wanted.steps):
        raise FileError(f"--over = {options.over}: the file gives {wanted.steps} steps; leave --over out")
    return wanted


def _numbers(path: Path) -> Vector:
    """The numbers of a text file, one on each line."""
    try:
        found = np.array([float(line) for line in path.read_text(encoding="utf-8-sig").split()])
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise FileError(f"{path}: not a list of numbers ({error}); write one on each line") from error
    if not len(found):
        raise FileError(f"{path}: has no numbers; write one on each line")
    return found


def _table(average: SnapshotAverage) -> str:
    """Coefficients of the snapshots, the multiplier of each interval, and how good the answer is."""
    lines = ["    snapshot    coefficient   multiplier of the steps up to it"]
    coefficients = dict(zip(average.steps, average.coefficients, strict=True))
    levels = ["", *(f"{level:.6g}" for level in average.levels)]
    for step, level in zip(average.used, levels, strict=True):
        lines.append(f"{step:12d}   {coefficients[step] + 0.0:12.6g}   {level}".rstrip())
    if idle := [step for step in average.steps if step not in average.used]:
        lines.append(f"not used, outside the window: {len(idle)} snapshots, {_shortened(idle)}")
    lines.append(
        f"These coefficients stand for the multipliers beside them and realise {average.share:.2%} of the schedule "
        f"(of its shape; how much of the loss is another question): root mean square distance {average.distance:.3g}, "
        f"sum of |coefficients| {average.amplification:.6g}."
    )
    return "\n".join(lines)


def _bend(options: argparse.Namespace, average: SnapshotAverage, rates: Vector | None) -> str:
    """What decoupled weight decay does to the answer."""
    if rates is None and options.rate is None:
        raise FileError("--weight-decay: needs the run's learning rate; give it with --rate, or its rates with --rates")
    window = slice(average.end - average.window, average.end)
    total = float(rates[window].sum()) if rates is not None else options.rate * average.window
    product = options.weight_decay * total
    if not 0 <= product < np.inf:
        raise FileError(
            f"--weight-decay {options.weight_decay:g}: times the rates it is {product:g}; give both from 0 on"
        )
    return (
        f"Decoupled weight decay (AdamW): rate x decay x steps = {product:.3g}. It bends the answer by about a tenth "
        f"of that: {product / 10.0:.1%} of the distance that the decay moves the weights (docs/merge.md)."
    )


def _draw(average: SnapshotAverage, path: Path) -> None:
    """Draw the schedule asked for and the staircase that the average stands for."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise FileError("--picture: needs matplotlib; run `pip install matplotlib`") from error

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


def _summary(
    snapshots: Mapping[int, Snapshot], reasons: Mapping[str, str], excluded: Sequence[str], options: argparse.Namespace
) -> str:
    """What was averaged, copied and left out, one line for each kind."""
    oldest, (step, newest) = next(iter(snapshots.values())), list(snapshots.items())[-1]
    averaged = Counter(
        DTYPES.get(options.dtype, tensor.dtype) for name, tensor in newest.tensors.items() if name not in reasons
    )
    kinds = ", ".join(f"{count} {dtype}" for dtype, count in averaged.items())
    lines = [f"{options.output}: averaged {averaged.total()} tensors ({kinds})"]
    copied = defaultdict(list)
    for name, reason in reasons.items():
        copied[reason].append(name)
    for reason, names in copied.items():
        lines.append(f"copied from step {step}: {len(names)} tensors, {reason} ({_shortened(names)})")
    if options.output.suffix != SUFFIX and newest.folder and (files := companions(newest.folder)):
        same, _, _ = cmpfiles(oldest.folder or oldest.path.parent, newest.folder, files, shallow=False)
        differing = ", ".join(name for name in files if name not in same)
        others = f"; another at the oldest step: {differing}" if differing else ""
        lines.append(f"copied from step {step}: {len(files)} files ({', '.join(files)}){others}")
    if excluded:
        lines.append(f"left out: {len(excluded)} tensors ({_shortened(excluded)})")
    advice = [RECIPE] * (BATCHNORM in copied) + [ADVICE] * ("BF16" in averaged and not options.dtype)
    return "\n".join([*map(printable, lines), *advice, FORECAST])


def _shortened(items: Sequence[object]) -> str:
    """The first few of a list."""
    return ", ".join(map(str, items[:SHOWN_NAMES])) + (", ..." if len(items) > SHOWN_NAMES else "")


def _opened(snapshots: dict[int, Path], options: argparse.Namespace) -> tuple[dict[int, Snapshot], list[str]]:
    """Headers of the snapshots, checked against each other and against their steps, and the names that are left out."""
    found: dict[int, Snapshot] = {}
    excluded: set[str] = set()
    names: set[str] = set()
    for step, path in snapshots.items():
        whole = read_snapshot(path)
        names |= whole.tensors.keys()
        inside = _step_inside(whole)
        if not options.steps and inside not in (None, step):
            raise FileError(f"{path}: is of step {inside} by its tensor, {step} by its name; give --steps")
        tensors = _renamed(whole, options.rename)
        left_out = {name for name in tensors if any(fnmatchcase(name, pattern) for pattern in options.exclude)}
        found[step] = replace(whole, tensors={name: t for name, t in tensors.items() if name not in left_out})
        excluded |= left_out
    for pattern in options.exclude:
        if not any(fnmatchcase(name, pattern) for name in excluded):
            raise FileError(f"--exclude {pattern}: fits no tensor; check the pattern, in quotes")
    for old, new in options.rename:
        if not any(name.startswith(old) for name in names):
            raise FileError(f"--rename {old}={new}: fits no tensor; check the beginning of the names")
    if not any(snapshot.tensors for snapshot in found.values()):
        raise FileError("no tensor is left to average; exclude less, or name other files")
    check_alike(list(found.values()))
    return found, sorted(excluded)


def _renamed(snapshot: Snapshot, pairs: Sequence[tuple[str, str]]) -> dict[str, StoredTensor]:
    """Tensors by their names with other beginnings."""
    found: dict[str, StoredTensor] = {}
    for name, tensor in snapshot.tensors.items():
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        name = new + name.removeprefix(old)
        if name in found:
            raise FileError(f"{snapshot.path}: --rename gives two tensors the name {name}; rename less")
        found[name] = tensor
    return found


def _step_inside(snapshot: Snapshot) -> int | None:
    """The step that a training state holds itself."""
    step = snapshot.tensors.get("step")
    if step is None or not is_training_state(snapshot) or (step.dtype, step.size) != ("I64", 8):
        return None
    return int(stored_bytes(step, 0, 8).view("<i8")[0])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m sidetrip.merge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add("snapshots", nargs="*", type=Path, metavar="SNAPSHOT")
    add("--steps", type=int, nargs="+", metavar="STEP", help="steps of the snapshots, in their order")
    add("--rename", action="append", default=[], type=_pair, metavar="OLD=NEW", help="other beginning of tensor names")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="leave out tensors, 'lm_head*'")
    shape = found.add_mutually_exclusive_group(required=True)
    shape.add_argument("--decay", choices=SHAPES, help="shape of the decay, with --over")
    shape.add_argument("--ema", type=float, metavar="NEWEST", help="EMA with this weight of the newest iterate")
    shape.add_argument("--multipliers", type=Path, metavar="FILE", help="multiplier of each step of the window")
    shape.add_argument("--kernel", type=Path, metavar="FILE", help="averaging weights of the window's k + 1 iterates")
    shape.add_argument("--wanted-rates", type=Path, metavar="FILE", help="learning rate of each step, with --rates")
    add("--over", metavar="STEPS", help="length of the window: steps, 10%% of the run, or tokens")
    add("--tokens-per-step", type=float, metavar="N", help="read --over in tokens")
    add("--end", type=int, metavar="STEP", help="snapshot at which the window ends (default: the newest)")
    add("--rates", type=Path, metavar="FILE", help="the run's own rate of its steps 1, 2, ... if it is not constant")
    add("--rate", type=float, help="the run's own rate, if it is constant; for --weight-decay")
    add("--weight-decay", type=float, metavar="DECAY", help="say what decoupled weight decay does to the answer")
    add("--output", type=Path, metavar="PLACE", help="NAME.safetensors, or a folder for shards, settings and tokenizer")
    add("--dtype", choices=DTYPES, help="type of the averaged tensors (default: as they are)")
    add("--dry-run", action="store_true", help="print the table, write no weights; --steps alone are enough")
    add("--picture", type=Path, metavar="FILE.png", help="draw the schedule asked for and the one realised")
    add("--accept-poor", action="store_true", help="write an average that stands for the schedule badly")
    return found


def _pair(text: str) -> tuple[str, str]:
    old, mark, new = text.partition("=")
    if not old or not mark:
        raise argparse.ArgumentTypeError(f"{text}: write OLD=NEW, where NEW may be empty")
    return old, new


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for; where something is wrong, no weights have been written."""
    paths = sorted_snapshots(options.snapshots, options.steps)
    rates = _numbers(options.rates) if options.rates else None
    end = max(paths, default=0) if options.end is None else options.end
    average = nearest_average(list(paths), _wanted_schedule(options, rates, end), rates, options.end)
    needed = {step: path for step, path in paths.items() if path and step in average.used}
    if not needed and not options.dry_run:
        raise FileError("no snapshot is named; name them, or use --dry-run for the table of --steps")
    snapshots, excluded = _opened(needed, options) if needed else ({}, [])
    if not options.dry_run:
        inputs = [path for path in paths.values() if path]
        inputs += {t.path for snapshot in snapshots.values() for t in snapshot.tensors.values()}
        check_output(options.output, inputs, snapshots[average.end])
        if average.objections and not options.accept_poor:
            raise FileError(f"{average.objections[0]}, or --accept-poor")
    said = [_table(average)]
    if options.weight_decay is not None:
        said.append(_bend(options, average, rates))
    sys.stdout.write("\n".join(said) + "\n")
    over = ", ".join(part.name for path in options.snapshots for part in passed_over(path))
    notes = [f"passed over, without a step in the name or without safetensors: {printable(over)}"] * bool(over)
    if averages := [printable(snapshot.path.name) for snapshot in snapshots.values() if are_averages(snapshot)]:
        notes.append(AVERAGES.format(_shortened(averages)))
    for warning in (*average.objections, *average.warnings, *notes):
        sys.stderr.write(f"sidetrip: {warning}\n")
    if not options.dry_run:
        of_step = dict(zip(average.steps, average.coefficients, strict=True))
        coefficients = [float(of_step[step]) + 0.0 for step in snapshots]  # no minus zero
        reasons = reasons_to_copy(snapshots[average.end])
        write_merged(snapshots, coefficients, options.output, reasons, DTYPES.get(options.dtype))
        sys.stdout.write(_summary(snapshots, reasons, excluded, options) + "\n")
    if options.picture:
        _draw(average, options.picture)


def main(arguments: Sequence[str] | None = None) -> None:
    """Merge, or say in one line what is wrong and leave with status 2."""
    options = parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():  # a request to end removes the temporary file, too
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with command(ValueError, stopped="stopped, nothing was written"):
        try:
            run(options)
        except OSError as error:
            if error.filename is None:  # standard output
                raise
            raise FileError(f"{error.filename}: {error.strerror}; check the path") from error


if __name__ == "__main__":
    main()
