"""Where something is wrong, and what, as people read it. Knows neither files nor schemas."""

import re
from typing import Any, Final

from pydantic import ValidationError

Loc = tuple[str | int, ...]
"""A path of keys and indexes."""

_USER_IN_ADDRESS: Final = re.compile(r"[^/\s]*@")
"""`user:password@` before a host's name."""


def field_text(loc: Loc) -> str:
    """The path as people write it: `devices[2].unit`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def problems_in(error: ValidationError) -> list[tuple[Loc, str]]:
    """Pydantic's errors as (where, one clear sentence); input values are left out, for they may be secrets."""
    return [
        (tuple(each["loc"]), _sentence(each)) for each in error.errors(include_url=False, include_input=True)
    ]


def _sentence(error: Any) -> str:
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        return "is not a known field"
    if kind == "missing":
        return "is missing"
    if kind in ("tuple_type", "list_type"):
        return "must be a list, such as [a, b]"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must have fields of its own, such as {name: value}"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return f"{_shown(error['input'])} is not of the form {pattern}"
    return message[:1].lower() + message[1:]


def _shown(text: str) -> str:
    return repr(_USER_IN_ADDRESS.sub("********@", text))
