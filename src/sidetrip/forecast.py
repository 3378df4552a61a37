"""Forecast the loss that a decay of the learning rate, begun now, would end at, and whether it is worth its steps.

    python -m sidetrip.forecast --losses run.csv --over 1000 [--cool-downs earlier.csv] [--decay linear] [--at STEP]

run.csv has a line for each step measured: step, momentary, merged (losses in nats on validation data: of the run's own
weights, and of its snapshots merged for this decay). earlier.csv has one for each cool-down that ended before: start,
over, shape, loss. The forecast is the merged loss now, plus its drift over the decay, plus what earlier cool-downs
ended at beyond such a forecast. docs/forecast.md has the rest. Of other libraries it computes with numpy alone; with
scipy, too, it adds what the multi-power law says.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sidetrip.console import command, printable
from sidetrip.files import FileError, write_json
from sidetrip.kernels import DECAYS, LONGEST_WINDOW
from sidetrip.loss_forecast import ALLOWANCE, CONFIDENCE, LEAST, CoolDown, Forecast, Losses, TooFewLossesError, forecast
from sidetrip.snapshot_paths import LARGEST_STEP

RUN, COOL_DOWNS = ("step", "momentary", "merged"), ("start", "over", "shape", "loss")  # columns
Source = dict[str, str | int]  # what was used of a file
MOST_STEPS = 10**8  # on the ways to all losses together, that the multi-power law is fitted to


@dataclass(frozen=True)
class Row:
    """A line of a CSV file: its place for messages, its bytes with the line break, and its cells by column."""

    place: str
    line: bytes
    cells: dict[str, str]

    def number(self, column: str) -> float:
        """A finite number."""
        try:
            found = float(self.cells[column])
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise FileError(
                f"{self.place}: {column} = {self.cells[column]!r} is not a finite number; correct it, with a point for "
                "decimals, or take the line out (of merged: leave the cell empty)"
            )
        return found

    def whole(self, column: str, least: int = 0) -> int:
        """A whole number."""
        found = self.number(column)
        if found != int(found) or not least <= found <= LARGEST_STEP:
            raise FileError(f"{self.place}: {column} = {found:g} is not a whole number from {least} on; correct it")
        return int(found)


def _cells(line: str, place: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]), [])]
    except csv.Error as error:  # lines that end in a carriage return alone, a cell that is too long
        raise FileError(
            f"{place}: is no line of a CSV file ({error}); write commas, and a line feed after each"
        ) from error


def read_rows(path: Path, columns: Sequence[str]) -> tuple[bytes, list[Row]]:
    """The header of a CSV file, as it stands there, and its rows."""
    try:
        content = path.read_bytes()
        texts = content.decode("utf-8-sig").rstrip().split("\n")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text in UTF-8; write a CSV file") from error
    names = _cells(texts[0], f"{path}, line 1")
    for column in columns:
        if (count := names.count(column)) != 1:
            raise FileError(
                f"{path}: has {count or 'no'} column {column}; its first line has {' | '.join(names):.200}; write "
                f"{', '.join(columns)} there, in small letters, with commas between and points for decimals"
            )
    lines = [line + b"\n" for line in content.split(b"\n")]
    rows = []
    for number, (text, line) in enumerate(zip(texts[1:], lines[1:], strict=False), start=2):
        cells = _cells(text, place := f"{path}, line {number}")
        if len(cells) != len(names):
            raise FileError(f"{place}: has {len(cells)} cells for {len(names)} columns; correct it")
        rows.append(Row(place, line, dict(zip(names, cells, strict=True))))
    return lines[0], rows


def source_of(path: Path, header: bytes, used: Sequence[Row]) -> Source:
    """What was used of a file: its name, how many lines, and the SHA-256 of their bytes, one after another."""
    content = header + b"".join(row.line for row in used)
    return {"file": path.name, "lines": 1 + len(used), "sha256": hashlib.sha256(content).hexdigest()}


def read_run(path: Path, at: int | None) -> tuple[Losses, Losses, int, Source]:
    """Momentary losses, losses of merged snapshots, the step of the forecast, and what of the file was used.

    Losses after that step are not looked at, and those of step 0, before any training, belong to no drift.
    """
    header, rows = read_rows(path, RUN)
    steps = [row.whole("step") for row in rows]
    for row, before, step in zip(rows[1:], steps, steps[1:], strict=False):
        if step <= before:
            raise FileError(f"{row.place}: step {step} after step {before}; sort the lines, each step once")
    if not steps:
        raise FileError(f"{path}: has no steps; write a line for each step measured")
    at = steps[-1] if at is None else at
    if not steps[0] <= at <= steps[-1]:
        raise FileError(f"--at {at}: the steps of {path} are {steps[0]} to {steps[-1]}; give one of that range")
    used = [row for row, step in zip(rows, steps, strict=True) if step <= at]
    merged = [row for row in used if row.cells["merged"]]
    return _losses(used, "momentary"), _losses(merged, "merged"), at, source_of(path, header, used)


def _losses(rows: Sequence[Row], column: str) -> Losses:
    table = np.array([(row.whole("step"), row.number(column)) for row in rows], dtype=np.float64).reshape(-1, 2)
    return Losses(*table[table[:, 0] > 0].T)


def read_cool_downs(path: Path, at: int) -> tuple[list[CoolDown], Source]:
    """The cool-downs that had ended by a step, and what of the file was used; later ones are not looked at."""
    header, rows = read_rows(path, COOL_DOWNS)
    found: list[CoolDown] = []
    used: list[Row] = []
    for row in rows:
        start, over, shape = row.whole("start"), row.whole("over", 1), row.cells["shape"]
        if over > LONGEST_WINDOW:
            raise FileError(f"{row.place}: over = {over} is more than {LONGEST_WINDOW} steps; correct it")
        if any(row.cells == other.cells for other in used):
            raise FileError(f"{row.place}: is there twice; write each cool-down once")
        if shape not in DECAYS:
            raise FileError(f"{row.place}: shape = {shape!r} is unknown; write one of {', '.join(DECAYS)}")
        if start + over <= at:
            found.append(CoolDown(start, over, shape, row.number("loss")))
            used.append(row)
    return found, source_of(path, header, used)


def power_law(
    momentary: Losses, cool_downs: Sequence[CoolDown], at: int, over: int, decay: str, warm_up: int
) -> float | None:
    """What the multi-power law fitted to the run and its earlier cool-downs says that the decay ends at, in nats.

    None with fewer than `LEAST` cool-downs, of whatever shape and length; without scipy; where the way is too long, or
    the losses are too many for it; and where losses lie outside the law's range.
    """
    steps, seen = at + over, np.r_[momentary.values, [each.loss for each in cool_downs]]
    if len(cool_downs) < LEAST or not find_spec("scipy") or steps > LONGEST_WINDOW or steps * len(seen) > MOST_STEPS:
        return None
    from sidetrip.measure.multi_power_law import fits, predicted, warmed_up  # scipy, which the rest does without

    if not fits(seen):
        return None
    (loss,) = predicted(warmed_up(at + over, warm_up), momentary, cool_downs, at, [(decay, over)])
    return loss


def as_json(found: Forecast, law: float | None, sources: Sequence[Source]) -> dict[str, Any]:
    """All of a forecast, and what it was made from."""
    steps = dict(zip(("loss", "high", "low"), found.steps_at_constant_rate, strict=True))
    return {
        **asdict(found),
        "confidence": CONFIDENCE,
        "power_law": law,
        "steps_at_constant_rate": {**steps, "at_most": found.at_step},
        "inputs": list(sources),
    }


def text(found: Forecast, law: float | None, output: Path | None, newest: int) -> str:
    """The forecast as people read it: a table, its worth, what it rests on, what it cannot know, where it is sealed."""
    low, high = found.interval.low, found.interval.high
    age = "merged now" if newest == found.at_step else "merged last"
    learned = f"from {found.cool_downs} earlier cool-downs" if found.cool_downs else f"none: needs {LEAST} cool-downs"
    lines = [
        f"A {found.decay} decay from step {found.at_step} to step {found.at_step + found.over_steps}: loss in nats",
        f"forecast         {found.loss:9.4f}   {100 * CONFIDENCE:g} % interval {low:.4f} to {high:.4f}",
        f"= {age:<11s}    {found.merged:9.4f}   of step {newest}",
        f"+ its drift      {found.drift:+9.4f}   over {found.at_step + found.over_steps - newest} steps",
        f"+ correction     {found.correction:+9.4f}   {learned}",
        "Beside it:",
        f"momentary now    {found.momentary:9.4f}",
        f"merged + drift   {found.merged + found.drift:9.4f}",
    ]
    if law is not None:
        lines.append(f"multi-power law  {law:9.4f}   fitted to the run and all its cool-downs; it has no interval")
    sealed = [printable(f"Sealed: {output}")] if output else []
    return "\n".join([*lines, "", _worth(found), _basis(found), _limits(found), *sealed])


def _worth(found: Forecast) -> str:
    steps, *ends = found.steps_at_constant_rate
    at_high, at_low = (f"none within {found.at_step} steps" if end is None else f"{end} steps" for end in ends)
    if steps is None:
        told = f"Yes: at the constant rate, the run does not come to this loss within {found.at_step} more steps"
    elif steps > found.over_steps:
        told = f"Yes: at the constant rate, about {steps} steps bring this loss, and the decay takes {found.over_steps}"
    elif steps:
        told = f"No: at the constant rate, about {steps} steps bring this loss, and the decay takes {found.over_steps}"
    else:
        told = "No: by the line through the momentary losses, the run has this loss already"
    return f"Is it worth it? {told} (high end of the interval: {at_high}; low end: {at_low})."


def _basis(found: Forecast) -> str:
    fit, interval = found.fit, found.interval
    left_out = "".join(f"; not used: {n} of the earlier cool-downs, {reason}" for reason, n in found.left_out.items())
    return (
        f"It rests on: drift, {fit.points} merged losses of steps {fit.begin:g} to {fit.end:g}, linear in one "
        f"over the root of the step; interval, {interval.n} {interval.rests_on}{left_out}."
    )


def _limits(found: Forecast) -> str:
    gap = (
        "whether cool-downs still end as far from it as the earlier ones"
        if found.cool_downs
        else f"how far a cool-down ends from merged snapshots (run {LEAST} to learn it); the interval allows for "
        f"{ALLOWANCE:g} of what merging gains"
    )
    return f"It cannot know: {gap}; whether losses go on as they did; what new data, rates or batch sizes do."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m sidetrip.forecast", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add("--losses", type=Path, required=True, metavar="FILE.csv", help=", ".join(RUN))
    add("--cool-downs", type=Path, metavar="FILE.csv", help=", ".join(COOL_DOWNS))
    add("--over", type=int, required=True, metavar="STEPS", help="length of the decay, for which snapshots were merged")
    add("--decay", choices=DECAYS, default="linear", help="shape of the decay (default: linear)")
    add("--at", type=int, metavar="STEP", help="step at which it begins (default: the last); later losses are not used")
    add("--warm-up", type=int, default=0, metavar="STEPS", help="of the run, for the multi-power law (default: none)")
    add("--json", action="store_true", help="print JSON")
    add("--output", type=Path, metavar="FILE.json", help="seal the forecast: write it where nothing is yet")
    return found


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for; where something is wrong, nothing has been written."""
    if not 1 <= options.over <= LONGEST_WINDOW:
        raise FileError(f"--over {options.over}: not a number of steps from 1 to {LONGEST_WINDOW}; give one")
    if not 0 <= options.warm_up <= LARGEST_STEP:
        raise FileError(f"--warm-up {options.warm_up}: not a number of steps; give one from 0 on")
    if options.output and os.path.lexists(options.output):
        raise FileError(f"{options.output}: is there, and a sealed forecast is never replaced; name another file")
    momentary, merged, at, source = read_run(options.losses, options.at)
    sources = [source]
    cool_downs: list[CoolDown] = []
    if options.cool_downs:
        cool_downs, of_cool_downs = read_cool_downs(options.cool_downs, at)
        sources.append(of_cool_downs)
    try:
        found = forecast(momentary, merged, cool_downs, at, options.over, options.decay)
    except TooFewLossesError as error:
        raise FileError(
            f"{options.losses}: merged: {error}; merge more snapshots, or take a smaller --over or a later --at"
        ) from error
    law = power_law(momentary, cool_downs, at, options.over, options.decay, options.warm_up)
    content, newest = as_json(found, law, sources), int(merged.steps[-1])
    if options.output:
        write_json(options.output, content)
    said = json.dumps(content, indent=2) if options.json else text(found, law, options.output, newest)
    sys.stdout.write(said + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Forecast, or say in one line what is wrong and leave with status 2."""
    with command(stopped="stopped, nothing was written"):
        run(parser().parse_args(arguments))


if __name__ == "__main__":
    main()
