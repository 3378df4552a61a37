"""What one value may be: the limits that stand beside every key of the schema."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from omegaconf import MISSING


class Limit(Protocol):
    """What a value may be."""

    def fault(self, value: Any) -> tuple[object, str] | None:
        """The value or part of it that is wrong, and the remedy; None if all is well."""
        ...


@dataclass(frozen=True)
class Number:
    """Numbers from `low` to `high`; an end in `without` is itself left out. NaN is in no such range."""

    low: float
    high: float
    without: tuple[float, ...] = ()
    reason: str = ""

    def fault(self, value: float) -> tuple[object, str] | None:
        """See `Limit`."""
        if self.low <= value <= self.high and value not in self.without:
            return None
        return value, f"use {self}{'; ' if self.reason else ''}{self.reason}"

    def __str__(self) -> str:
        low, high = (str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))
        if not self.without:
            return f"{low} to {high}"
        return (
            f"{'more than' if self.low in self.without else 'at least'} {low} and "
            f"{'less than' if self.high in self.without else 'at most'} {high}"
        )


@dataclass(frozen=True)
class Numbers:
    """A list of different numbers, ascending unless `ordered` is off."""

    each: Number
    at_least: int = 1
    ordered: bool = True
    reason: str = ""

    def fault(self, values: Sequence[float]) -> tuple[object, str] | None:
        """See `Limit`."""
        for value in values:
            if found := self.each.fault(value):
                return found
        if len(values) < self.at_least:
            return list(values), f"list at least {self.at_least}{'; ' if self.reason else ''}{self.reason}"
        if len(set(values)) < len(values):
            return list(values), "list each once"
        if self.ordered and sorted(values) != list(values):
            return list(values), "list them in ascending order"
        return None


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    allowed: tuple[str, ...]

    def fault(self, value: str) -> tuple[object, str] | None:
        """See `Limit`."""
        return None if value in self.allowed else (value, f"use one of {', '.join(self.allowed)}")


@dataclass(frozen=True)
class Text:
    """A text that a regular expression matches as a whole."""

    pattern: str
    remedy: str

    def fault(self, value: str) -> tuple[object, str] | None:
        """See `Limit`."""
        return None if re.fullmatch(self.pattern, value) else (value or "''", self.remedy)


def setting(limit: Limit | None = None) -> Any:
    """Field of the schema that has to be set, within a limit."""
    return dataclasses.field(default=MISSING, metadata={"limit": limit})


def between(low: float, high: float, reason: str = "") -> Any:
    """Setting: a number from `low` to `high`."""
    return setting(Number(low, high, (), reason))


def above(low: float, high: float, reason: str = "") -> Any:
    """Setting: a number more than `low` and at most `high`."""
    return setting(Number(low, high, (low,), reason))


def below(low: float, high: float, reason: str = "") -> Any:
    """Setting: a number from `low` to less than `high`."""
    return setting(Number(low, high, (high,), reason))


def inside(low: float, high: float, reason: str = "") -> Any:
    """Setting: a number more than `low` and less than `high`."""
    return setting(Number(low, high, (low, high), reason))


def choice(*allowed: str) -> Any:
    """Setting: one of a few words."""
    return setting(Choice(allowed))


def text(pattern: str, remedy: str) -> Any:
    """Setting: a text that a regular expression matches."""
    return setting(Text(pattern, remedy))


def numbers(each: Number, at_least: int = 1, ordered: bool = True, reason: str = "") -> Any:
    """Setting: a list of different numbers."""
    return setting(Numbers(each, at_least, ordered, reason))
