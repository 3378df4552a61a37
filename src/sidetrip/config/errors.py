"""How messages show a value, and the variant that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sidetrip.console import ConfigError, printable

LONGEST = 80  # characters of a value that a message shows
AS_YAML = {"None": "null", "True": "true", "False": "false", "": "''"}


def shown(value: object) -> str:
    """A value as a message shows it: as YAML writes it, on one line, shortened if long.

    Every text that others wrote goes through here: what does not print (line ends, codes that steer a terminal) is
    shown by its number.
    """
    text = AS_YAML.get(str(value), str(value))
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return printable(text)


@contextmanager
def of_variant(name: str) -> Iterator[None]:
    """Add a variant's name to what is refused within, unless the message has it."""
    try:
        yield
    except ConfigError as error:
        if f"variants.{shown(name)}" in str(error):
            raise
        raise ConfigError(f"{error} (variant {shown(name)})") from error


def require(good: bool, key: str, value: object, remedy: str) -> None:
    """Refuse the value of a key unless it is good."""
    if not good:
        raise ConfigError(f"{shown(key)} = {shown(value)}: {remedy}")
