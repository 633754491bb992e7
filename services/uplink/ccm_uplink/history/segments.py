"""Which resolution answers which part of a range. Pure."""

from collections.abc import Mapping
from typing import Final

from ccm_uplink.history.calendar import HOUR_MS
from ccm_uplink.history.levels import D1, H1, LEVELS, M1, M15, RAW, Level

Segment = tuple[Level, int, int]
"""A level, and `[start, end)` in milliseconds."""

DAYS_FROM_MS: Final = 8 * 24 * HOUR_MS
"""Intervals from this length on are made of days: the hour by which a local day is off does not show."""


def level_for(interval_ms: int) -> Level:
    """The coarsest level of which an interval holds whole periods."""
    if interval_ms >= DAYS_FROM_MS:
        return D1
    fitting = (level for level in (H1, M15, M1) if level.width_ms <= interval_ms)
    return next(fitting, RAW)


def segments(
    finest: Level, start_ms: int, end_ms: int, floors: Mapping[str, int], rolled_to_ms: int
) -> list[Segment]:
    """The range in the order of time: `finest` where it is kept, coarser before, single values for what is new."""
    found: list[Segment] = []
    until = end_ms
    if finest is not RAW and end_ms > rolled_to_ms:
        found.append((RAW, max(start_ms, rolled_to_ms), end_ms))
        until = min(end_ms, rolled_to_ms)
    for level in LEVELS[LEVELS.index(finest) :]:
        begin = max(start_ms, floors.get(level.name, 0))
        if begin < until:
            found.append((level, begin, until))
            until = begin
    return sorted(found, key=lambda segment: segment[1])
