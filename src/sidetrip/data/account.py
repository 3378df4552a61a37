"""What became of the files: how many were found and packed, what was left out and why, what is odd about the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sidetrip.config import Config, ConfigError
from sidetrip.data.packed import Facts
from sidetrip.tables import write_table

LEFT_OUT = "left_out"  # table of all that lies beside what is packed
REMARKS = "remarks"  # table of pictures that are packed and odd
UNREADABLE = "unreadable"  # table of pictures that cannot be read
NAMED = 5  # how many files or classes a message names
# Why something is left out.
HIDDEN, OTHER_KIND, NO_CLASS, EMPTY = "hidden", "other kind of file", "in no class folder", "empty"
UNLISTED, LOOP = "folder that cannot be listed", "folder that leads back to one that is read already"
# What network drives and operating systems put beside one's own folders.
OF_SYSTEMS = {"@eadir", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information", "lost+found"}


class LeftOut(NamedTuple):
    """A file, or a whole folder (then it ends in /), that is not packed: its path from `data.root`, and the reason."""

    file: str
    reason: str


Odd = Mapping[str, list[tuple[Path, str]]]  # by name of a table: files, and what is wrong or odd about each


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's."""
    return name.startswith(".") or name.lower() in OF_SYSTEMS


def listed(names: Sequence[object]) -> str:
    """The first few of names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more


def names_table(rows: Iterable[tuple[object, str]]) -> pd.DataFrame:
    """Files and reasons. A name need not be valid text, and is only shown."""
    shown = [(os.fsencode(str(file)).decode("utf-8", "replace"), reason) for file, reason in rows]
    return pd.DataFrame(shown, columns=["file", "reason"])


def check_readable(config: Config, unreadable: Sequence[tuple[str, str]], pictures: int, folder: Path) -> None:
    """Refuse pictures that cannot be read; all of them, with reasons, are listed in a file in `folder`."""
    path = folder / f"{UNREADABLE}.csv"
    path.unlink(missing_ok=True)
    if unreadable:
        write_table(names_table(unreadable), path)
        named = listed([f"{file}: {reason}" for file, reason in unreadable])
        raise ConfigError(
            f"data.root = {config.data.root}: {len(unreadable)} of {pictures} pictures cannot be read ({named}); "
            f"mend or remove them, {path} lists them all"
        )


def account(facts: Facts, left_out: Sequence[LeftOut], remarks: Sequence[tuple[str, str]], output: Path) -> str:
    """Lines for whoever ran prepare_data, with where its output lies."""
    packed = facts.train_samples + facts.validation_samples
    found = f"{packed} {'pictures' if facts.kind == 'pictures' else 'tokens'}"
    splits = f"{facts.train_samples} for training, {facts.validation_samples} for validation"
    reasons = Counter(entry.reason for entry in left_out)
    counts = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    aside = f"{len(left_out)} left out ({counts}), listed in {output / LEFT_OUT}.csv" if left_out else "none left out"
    lines = [f"{found} packed ({splits}), {aside}"]
    folders = [f"left out: {file} ({reason})" for file, reason in left_out if file.endswith("/")]
    lines += folders[:NAMED] + [f"left out: {len(folders) - NAMED} more folders"] * (len(folders) > NAMED)
    for remark, number in Counter(remark for _, remark in remarks).items():
        lines.append(f"{number} pictures with a remark: {remark}; listed in {output / REMARKS}.csv")
    return "".join(f"sidetrip: {line}\n" for line in lines)
