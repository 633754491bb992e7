"""Periods of the clock on the site's wall: minutes, hours, days, months. Pure.

Every zone's offset is a multiple of 15 minutes, so that periods up to a quarter of an hour are the same everywhere.
Where the clock is put forward or back inside an hour (Lord Howe Island: 30 minutes), the hour is cut there: periods
never overlap and leave nothing out.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Unit = Literal["minute", "5min", "15min", "hour", "day", "month", "year"]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

WIDTH_MS: Final[dict[Unit, int]] = {
    "minute": MINUTE_MS,
    "5min": 5 * MINUTE_MS,
    "15min": 15 * MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
    "month": 30 * DAY_MS,
    "year": 365 * DAY_MS,
}
"""How long a period is; a day, a month and a year only about."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIXED: Final[frozenset[Unit]] = frozenset({"minute", "5min", "15min"})

Period = tuple[int, int]
"""`[start, end)` in milliseconds since 1970, UTC."""


class Calendar:
    """The periods of one zone. Remembers the last one of each unit: what is asked for comes in order."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._zone = ZoneInfo(zone)
        self._last: dict[Unit, Period] = {}

    def start(self, ts_ms: int, unit: Unit) -> int:
        """Where the period that holds this moment begins."""
        return self.period(ts_ms, unit)[0]

    def period(self, ts_ms: int, unit: Unit) -> Period:
        """The period that holds this moment."""
        if unit in _FIXED:
            width_ms = WIDTH_MS[unit]
            start = ts_ms - ts_ms % width_ms
            return start, start + width_ms
        last = self._last.get(unit)
        if last is not None and last[0] <= ts_ms < last[1]:
            return last
        found = self._hour(ts_ms) if unit == "hour" else self._dates(ts_ms, unit)
        self._last[unit] = found
        return found

    def edges(self, start_ms: int, end_ms: int, unit: Unit, most: int) -> list[Period]:
        """The periods that touch `[start, end)`, in order; at most `most`."""
        found: list[Period] = []
        at = start_ms
        while at < end_ms and len(found) < most:
            found.append(self.period(at, unit))
            at = found[-1][1]
        return found

    def _hour(self, ts_ms: int) -> Period:
        offset = self._offset_ms(ts_ms)
        start = ts_ms - (ts_ms + offset) % HOUR_MS
        end = start + HOUR_MS
        if self._offset_ms(start) != offset:
            start = self._change(start, ts_ms)
        if self._offset_ms(end - 1) != offset:
            end = self._change(ts_ms, end - 1)
        return start, end

    def _dates(self, ts_ms: int, unit: Unit) -> Period:
        day = (_EPOCH + timedelta(milliseconds=ts_ms)).astimezone(self._zone).date()
        if unit == "day":
            return self._midnight(day), self._midnight(day + timedelta(days=1))
        if unit == "month":
            first = day.replace(day=1)
            return self._midnight(first), self._midnight((first + timedelta(days=32)).replace(day=1))
        return self._midnight(date(day.year, 1, 1)), self._midnight(date(day.year + 1, 1, 1))

    def _midnight(self, day: date) -> int:
        """The first moment of a date; where the clock is put forward at midnight, the moment of that change."""
        return _ms(datetime(day.year, day.month, day.day, tzinfo=self._zone))

    def _offset_ms(self, ts_ms: int) -> int:
        offset = (_EPOCH + timedelta(milliseconds=ts_ms)).astimezone(self._zone).utcoffset()
        return int((offset or timedelta()) / timedelta(milliseconds=1))

    def _change(self, before_ms: int, after_ms: int) -> int:
        """The first moment of the new offset between two moments with different ones."""
        new = self._offset_ms(after_ms)
        while after_ms - before_ms > 1:
            middle = (before_ms + after_ms) // 2
            if self._offset_ms(middle) == new:
                after_ms = middle
            else:
                before_ms = middle
        return after_ms


def _ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
