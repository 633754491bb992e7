"""Builds and parses the names on the bus; the only file with `ccm.` in a string.

A pattern has its variables in braces, one token each: `ccm.{gw}.telemetry.{device}`.
"""

import re
from functools import lru_cache

_VARIABLE = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

TELEMETRY = "ccm.{gw}.telemetry.{device}"
PLANT = "ccm.{gw}.plant.{plant}"
EVENT = "ccm.{gw}.event.{source}.{kind}"
REQUEST = "ccm.{gw}.{service}.{verb}"
EVERYTHING = "ccm.{gw}.>"
CONFIG_BUCKET = "ccm_config"
STATE_BUCKET = "ccm_state"
CONFIG = f"$KV.{CONFIG_BUCKET}.{{gw}}.{{section}}"
STATE = f"$KV.{STATE_BUCKET}.{{gw}}.{{kind}}.{{id}}"


class BadSubjectError(ValueError):
    """An id that cannot be a token of a subject."""


@lru_cache(maxsize=4096)
def fill(pattern: str, **ids: str) -> str:
    """The subject of `pattern`; a variable that is not given becomes `*`, for subscriptions.

    Raises `BadSubjectError` when an id is not one token of letters, digits, `_` and `-`.
    """

    def replace(match: re.Match[str]) -> str:
        token = ids.get(match[1], "*")
        if token != "*" and not _TOKEN.fullmatch(token):
            raise BadSubjectError(
                f"{token!r} cannot be the {match[1]} of a subject: letters, digits, _ and - only"
            )
        return token

    return _VARIABLE.sub(replace, pattern)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    pieces = (
        f"(?P<{part[1:-1]}>[^.]+)" if part.startswith("{") else re.escape(part) for part in pattern.split(".")
    )
    return re.compile(r"\.".join(pieces))


def parse(pattern: str, subject: str) -> dict[str, str] | None:
    """The variables of `subject`, or None when it is not of this pattern."""
    match = _matcher(pattern).fullmatch(subject)
    return match.groupdict() if match else None


def inbox_prefix(service: str) -> str:
    """Where a service receives its answers; nobody else may listen there."""
    return f"_INBOX_{service.replace('-', '_')}"
