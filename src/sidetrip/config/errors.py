"""The error of every setting and input that cannot be run."""

from __future__ import annotations

LONGEST = 80  # characters of a value that a message shows


class ConfigError(ValueError):
    """An input that cannot be run; the message is one line: what, which value, what to do."""


def shown(value: object) -> str:
    """A value as a message shows it: as YAML writes it, on one line, shortened if long."""
    as_yaml = {"None": "null", "True": "true", "False": "false"}
    text = " ".join(as_yaml.get(str(value), str(value)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def require(good: bool, key: str, value: object, remedy: str) -> None:
    """Refuse the value of a key unless it is good."""
    if not good:
        raise ConfigError(f"{key} = {shown(value)}: {remedy}")
