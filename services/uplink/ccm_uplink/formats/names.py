"""Names of files: gateway, end of the period in the site's time, sequence. Pure.

`CCM000123_20261124T231500+0100_000042.csv`
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+_(\d{8}T\d{6}[+-]\d{4,6})_(\d{6,})\.(csv|json)")


@dataclass(frozen=True, slots=True)
class Named:
    """What a file's name says."""

    end: datetime
    sequence: int


def file_name(gateway: str, end: datetime, zone: ZoneInfo, sequence: int, kind: str) -> str:
    """`end` is when the file was made; what it holds was accepted before."""
    return f"{gateway}_{end.astimezone(zone):%Y%m%dT%H%M%S%z}_{sequence:06d}.{kind}"


def named(name: str) -> Named | None:
    """None for a file that is not ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    end = datetime.strptime(found[1], "%Y%m%dT%H%M%S%z").astimezone(UTC)
    return Named(end, int(found[2]))
