"""Which snapshots are meant by the paths that are named, and of which steps they are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from sidetrip.files import FileError
from sidetrip.tensor_files import FOREIGN_SUFFIXES, INDEX_SUFFIX, SUFFIX, is_distributed

MARKED_STEP = re.compile(r"(?:step|steps|iter|iteration|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
CLEAR_STEP = re.compile(rf"{MARKED_STEP.pattern}(?![A-Za-z]|[-_.,]?\d)", re.IGNORECASE)
LARGEST_STEP = 2**53  # up to which every whole number is a float64
SHARD = re.compile(r"-\d+-of-\d+$")


def step_of(path: Path) -> int:
    """Step of a snapshot by its name, or by that of the nearest folder that says one.

    The number after "step", "iter", "checkpoint" or the like; or the only number of its name, or else of its folder's.
    """
    whole = Path(os.path.abspath(path))  # "." and "x/.." are what they stand for
    own = _stem(whole)
    if SHARD.search(own):
        raise FileError(f"{path}: is one of several shards; name its folder, or the index in it")
    folders = [folder.name for folder in whole.parents]
    if own.isdecimal():
        return int(own)
    for name in (own, *folders):
        if marked := MARKED_STEP.findall(name):
            clear = CLEAR_STEP.findall(name)
            if len(clear) < len(marked) or len({int(digits) for digits in clear}) > 1:
                raise FileError(f"{path}: which number of {name} is its step is not clear; give the steps with --steps")
            return int(clear[0])
    for name in (own, *folders[:1]):
        if numbers := re.findall(r"\d+", name):
            if len(numbers) > 1 or re.search(r"\d[A-Za-z]", name):
                raise FileError(f"{path}: which number of {name} is its step is not clear; give the steps with --steps")
            return int(numbers[0])
    raise FileError(f"{path}: has no step in its name; give the steps with --steps")


def sorted_snapshots(paths: Sequence[Path], steps: Sequence[int] | None) -> dict[int, Path | None]:
    """Paths of the snapshots by step, ascending; None for steps without a snapshot, of which a table can be asked."""
    for path in paths:
        if not path.exists():
            raise FileError(f"{path}: cannot be read (No such file or directory); check the path")
        if path.is_dir() and not _is_snapshot(path) and len(inside := _inside(path)) < 2:
            if inside:
                raise FileError(f"{path}: holds one snapshot, {inside[0].name}; an average needs two")
            raise FileError(
                f"{path}: holds no safetensors; name the folder of the snapshots, docs/merge.md converts other files"
            )
    named = [path for given in paths for path in _in_order(given, steps)]
    if steps and named and len(steps) != len(named):
        raise FileError(f"--steps: {len(steps)} steps for {len(named)} snapshots; give one for each, in their order")
    found: dict[int, Path | None] = {}
    placed: Sequence[Path | None] = named or [None] * len(steps or ())
    for step, place in zip(steps or [step_of(path) for path in named], placed, strict=True):
        if not 0 <= step <= LARGEST_STEP:
            raise FileError(f"step {step}: is not from 0 to 2^53; give the steps with --steps")
        if step in found:
            both = f"belongs to {found[step]} and to {place}; name one of them"
            raise FileError(f"step {step}: {both if place else 'is given twice; give it once'}")
        found[step] = place
    return dict(sorted(found.items()))


def snapshots_in(path: Path) -> list[Path]:
    """The snapshots of a run's folder, by step; or the path itself, if it is a snapshot."""
    if not path.is_dir():
        return [path]
    found = _inside(path)
    return sorted(found, key=step_of) if len(found) > 1 else [path]


def _in_order(path: Path, steps: Sequence[int] | None) -> list[Path]:
    """`snapshots_in`, whose order has to be clear where the steps are given."""
    try:
        return snapshots_in(path)
    except FileError as error:
        if not steps:
            raise
        raise FileError(
            f"{path}: which order its snapshots have is not clear; name each, in that of --steps"
        ) from error


def _inside(path: Path) -> list[Path]:
    return [part for part in _marked(path) if _is_file(part) or _is_snapshot(part)]


def _marked(path: Path) -> list[Path]:
    """What has a step in its name, or nothing but a number."""
    parts = [part for part in path.iterdir() if not part.name.startswith(".")]
    return [part for part in parts if MARKED_STEP.search(_stem(part)) or _stem(part).isdecimal()]


def passed_over(path: Path) -> list[Path]:
    """What of a run's folder looks like a snapshot and is not taken: without a step in its name, or no safetensors."""
    taken = snapshots_in(path)
    if taken == [path]:
        return []
    others = [part for part in _marked(path) if part.is_dir() or part.suffix in FOREIGN_SUFFIXES]
    return sorted(part for part in {*path.glob(f"[!.]*{SUFFIX}"), *others} if part not in taken)


def _is_file(path: Path) -> bool:
    return path.suffix == SUFFIX and not SHARD.search(_stem(path))


def _is_snapshot(path: Path) -> bool:
    if not path.is_dir():
        return False
    return is_distributed(path) or any(path.glob(f"*{SUFFIX}")) or any(path.glob(f"*{INDEX_SUFFIX}"))


def _stem(path: Path) -> str:
    return path.name.removesuffix(INDEX_SUFFIX).removesuffix(SUFFIX)
