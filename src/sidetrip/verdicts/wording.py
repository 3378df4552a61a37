"""What readers are told of averaging methods and of decays; one that has no entry here is called by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OURS = "this project"  # the source of statements that are not the paper's
IN_THE_PAPER = "Table 1, Fig. 5, 10, 14"


@dataclass(frozen=True)
class Words:
    """An averaging method in words."""

    title: str  # in figures and reports
    phrase: str  # as the subject of a sentence
    schedule: str  # what its equivalent schedule is
    source: str  # where its equivalence with a trip is stated


METHOD_WORDS = {
    "swa": Words("SWA", "the SWA average", "a linear decay of the rate", IN_THE_PAPER),
    "two_point": Words("Two-point", "the two-point average", "half the rate", IN_THE_PAPER),
    "ema": Words("EMA", "the EMA", "the EMA's own decay of the rate", IN_THE_PAPER),
}
DECAY_TITLES = {"1-sqrt": "1 − √"}


def method_words(name: str) -> Words:
    """Words of an averaging method, by its name in tables."""
    title = name.replace("_", " ").capitalize()
    return METHOD_WORDS.get(name) or Words(title, f"the {title} average", "its equivalent schedule", OURS)


def methods_in_order(names: Iterable[str]) -> list[str]:
    """Names of averaging methods: those with words in their order, then the others by name."""
    known = list(METHOD_WORDS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def decay_title(name: str) -> str:
    """Title of a shape of decay, by its name in tables."""
    return DECAY_TITLES.get(name, name)
