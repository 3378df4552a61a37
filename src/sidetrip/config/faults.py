"""What pydantic finds wrong, as one line: key, value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sidetrip.config.errors import ConfigError, shown
from sidetrip.config.schema import Config

# By the type of pydantic's error. What a field says of itself is added.
REMEDIES = {
    "int_type": "use a whole number",
    "float_type": "use a number",
    "bool_type": "use true or false",
    "string_type": "use a text",
    "tuple_type": "use a list",
    "dataclass_type": "use a mapping of keys to values",
    "finite_number": "use a finite number",
    "greater_than": "use more than {gt}",
    "greater_than_equal": "use at least {ge}",
    "less_than": "use less than {lt}",
    "less_than_equal": "use at most {le}",
    "too_short": "list at least {min_length}",
    "too_long": "list at most {max_length}",
    "literal_error": "use {expected}",
    "value_error": "{error}",
    "string_too_long": "use at most {max_length} characters",
    "string_pattern_mismatch": "",
}
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def one_line(error: ValidationError, changes: Mapping[str, Any] | None, variant: str) -> str:
    """The first thing wrong; a key that is too much before those that are missing, for it may be one of them.

    Of a key that is too much, `changes` of the variant say whether it stands there or in base.
    """
    found = error.errors(include_url=False)
    wrong = [fault for fault in found if fault["type"] != "missing"]
    if not wrong:
        holes = sorted(_key(fault["loc"]) for fault in found)
        return f"{', '.join(holes)} not set; set it in params.yaml, in base or in the variant"
    first = next((fault for fault in wrong if fault["type"] == "unexpected_keyword_argument"), wrong[0])
    if not first["loc"]:
        return f"settings: {shown(first['msg'])}; use text that is UTF-8"
    key, value = _key(first["loc"]), first["input"]
    if first["type"] == "unexpected_keyword_argument":
        stands_in = ""
        if changes is not None and first["loc"][0] != "runtime":  # which stands beside base and variants
            stands_in = f"variants.{variant}." if _has(changes, first["loc"]) else "base."
        return _unknown(first["loc"], stands_in)
    remedy = REMEDIES.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
    if isinstance(value, str) and first["type"] in ("int_type", "float_type"):
        value = repr(value)
        remedy += "; decimals have a point, not a comma" if DECIMAL_COMMA.fullmatch(first["input"]) else ""
    said = "" if first["type"] == "value_error" else _field(first["loc"]).description
    return f"{key} = {shown(value)}: {'; '.join(filter(None, [remedy, said]))}"


def check_key(loc: tuple[str, ...]) -> None:
    """Refuse a key that no configuration has, of those that may differ within a variant.

    Raises
    ------
    ConfigError
        With the keys that are known beside it.
    """
    section: Any = Config
    for place, name in enumerate(loc):
        fields = getattr(section, "__pydantic_fields__", None)
        if fields is None:
            raise ConfigError(f"{_key(loc)}: unknown key; {_key(loc[:place])} is a value, and no mapping of keys")
        if name not in fields or loc == ("variant",):
            raise ConfigError(_unknown(loc[: place + 1], ""))
        section = fields[name].annotation


def _has(changes: Any, loc: tuple[int | str, ...]) -> bool:
    """Whether there is something at a place of nested settings."""
    for name in loc:
        if not isinstance(changes, Mapping) or name not in changes:
            return False
        changes = changes[name]
    return True


def _unknown(loc: tuple[int | str, ...], stands_in: str) -> str:
    """An unknown key, and those that are known beside it."""
    section: Any = Config if len(loc) == 1 else _field(loc[:-1]).annotation
    allowed = [key for key in section.__pydantic_fields__ if key not in ("variant", "runtime")]
    place = _key(loc[:-1]) or "a variant"
    hint = "decimals have a point, not a comma; " if str(loc[-1]).isdecimal() else ""
    return f"{stands_in}{_key(loc)}: unknown key; {hint}allowed in {place} are {', '.join(allowed)}"


def _field(loc: tuple[int | str, ...]) -> Any:
    """The field of the schema that an error is at."""
    section: Any = Config
    for name in loc:
        if isinstance(name, str):
            field = section.__pydantic_fields__[name]
            section = field.annotation
    return field


def _key(loc: tuple[int | str, ...]) -> str:
    return ".".join(shown(name) for name in loc if isinstance(name, str))
