"""What became of the pictures: how many were found and packed, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sidetrip.config import Config, ConfigError
from sidetrip.data.folders import CLOSED, LeftOut, Split, in_utf8, listed
from sidetrip.data.packed import Facts
from sidetrip.tables import write_table

LEFT_OUT = "left_out.csv"  # of a folder of pictures: all that lies there and is not packed
COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}  # of pictures with other channels, these are told by number


def names_table(rows: Sequence[tuple[object, str]]) -> pd.DataFrame:
    """Files and reasons. A name need not be valid text, and is only shown."""
    shown = [(in_utf8(str(file)).encode(errors="surrogateescape").decode(errors="replace"), why) for file, why in rows]
    return pd.DataFrame(shown, columns=["file", "reason"])


def write_left_out(splits: Sequence[Split], folder: Path) -> None:
    """Write the list of what is left out of a folder of pictures."""
    write_table(names_table([left_out for split in splits for left_out in split.left_out]), folder / LEFT_OUT)


def check_not_all_constant(config: Config, facts: Facts) -> None:
    """Refuse training pictures in which there is nothing to see."""
    if len(facts.constant) == facts.channels:
        raise ConfigError(
            f"data.source = {config.data.source}: all {facts.train_samples} training pictures are the same plain "
            f"colour ({_levels(facts)}); use others, there is nothing to learn from these"
        )


def account(facts: Facts, splits: Sequence[Split], output: Path) -> str:
    """Lines for whoever ran prepare_data, with where its output lies."""
    packed = facts.train_samples + facts.validation_samples
    left_out = [entry for split in splits for entry in split.left_out]
    counts = f"{packed} packed ({facts.train_samples} for training, {facts.validation_samples} for validation)"
    lines = [f"{packed + len(left_out)} pictures found, {counts}{_left_out(left_out, output)}"]
    if facts.constant:
        lines.append(
            f"the same in every pixel of the training pictures, and so no help to the network: {_levels(facts)}"
        )
    return "".join(f"sidetrip: {line}\n" for line in lines)


def _left_out(entries: Sequence[LeftOut], output: Path) -> str:
    if not entries:
        return ", none left out"
    counts = Counter(reason for _, reason in entries)
    reasons = [reason if len(counts) == 1 else f"{number} {reason}" for reason, number in counts.items()]
    closed = [file for file, reason in entries if reason == CLOSED]
    named = f": {listed(closed)}" if closed else ""
    return f", {len(entries)} left out ({', '.join(reasons)}{named}), listed in {output / LEFT_OUT}"


def _levels(facts: Facts) -> str:
    names = COLOURS.get(facts.channels) or [f"channel {channel}" for channel in range(facts.channels)]
    return ", ".join(f"{names[channel]} = {level}" for channel, level in facts.constant.items())
